"""The figures in the texts: every file that they name is there, and the tables on the first pages hold what it says."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT

RESULTS = CHECKOUT / "results"
PAGES = sorted(
    path.relative_to(CHECKOUT).as_posix()
    for pattern in ("*.md", "docs/*.md", "*/weights/README.md", "results/README.md")
    for path in CHECKOUT.glob(pattern)
)
REPORT_ROWS = {
    "frames per second": "Frames per second",
    "P50 latency (ms)": "P50 latency (ms)",
    "P95 latency (ms)": "P95 latency (ms)",
    "P99 latency (ms)": "P99 latency (ms)",
    "GPU memory (MiB)": "GPU memory (MiB)",
}
"""The README's words for the rows of a report."""


def read(page: str) -> str:
    return (CHECKOUT / page).read_text(encoding="utf-8")


def named_results(text: str) -> set[str]:
    """Names of files under results/ that a text mentions, by path or as a link beside it; not of one's own results."""
    return {
        name.rstrip(".") for name in re.findall(r"(?<!\.photofinish/)results/([A-Za-z0-9_*][A-Za-z0-9_.*-]*)", text)
    }


def table_rows(text: str) -> list[list[str]]:
    """The cells of every table row."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def section_of(page: str, heading: str) -> str:
    """A page's text from a heading to the next one of the same level."""
    text = read(page).partition(f"{heading}\n")[2]
    return text.partition("\n## ")[0]


@pytest.mark.parametrize("page", PAGES)
def test_every_results_file_that_a_page_names_exists(page: str) -> None:
    missing = [name for name in sorted(named_results(read(page))) if not list(RESULTS.glob(name))]
    assert not missing, f"{page} names {missing}, which results/ does not hold"


def test_a_name_that_is_not_there_is_found() -> None:
    assert named_results("see [this](../results/h100_gone.json.gz), `results/h100_gone.md`.") == {
        "h100_gone.json.gz",
        "h100_gone.md",
    }


def listed_results() -> set[str]:
    """The files that the table of results/README.md lists."""
    table = "\n".join(line for line in read("results/README.md").splitlines() if line.startswith("| `"))
    return set(re.findall(r"`([a-z0-9_]+\.json(?:\.gz)?)`", table))


def test_the_table_of_results_lists_every_committed_file() -> None:
    git = subprocess.run(["git", "ls-files", "results"], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    if git.returncode:
        pytest.skip("not a git checkout")
    committed = {Path(line).name for line in git.stdout.splitlines() if ".json" in line}
    assert committed <= listed_results()


def test_every_listed_file_is_there_and_every_record_has_its_report() -> None:
    for name in listed_results():
        assert (RESULTS / name).is_file(), f"results/README.md lists {name}"
        if name.endswith(".json.gz"):
            report = RESULTS / name.replace(".json.gz", ".md")
            assert report.is_file(), f"photofinish perf report results/{name} --out {report.with_suffix('.json').name}"


def test_the_first_table_of_the_readme_is_its_report() -> None:
    report = {row[0]: row[1:] for row in reversed(table_rows(read("results/h100_bridge_yolo26n.md")))}
    shown = {row[0]: row[1:] for row in table_rows(read("README.md")) if row[0] in REPORT_ROWS}
    assert shown == {name: report[row] for name, row in REPORT_ROWS.items()}


def test_the_tables_of_transports_and_throughput_are_the_record() -> None:
    models = json.loads(read("results/h100_bridge_server_check.json"))["models"]
    page = read("docs/benchmarking-gpu.md")
    rows = table_rows(page[page.index("## Transports") : page.index("## Several GPUs")])
    variants = {
        "compiled FP16": "demo_traffic_aoti_fp16",
        "compiled FP16, rectangular": "demo_traffic_aoti_fp16_rect",
        "ONNX FP16": "demo_traffic_onnx_fp16",
    }
    order = ("grpc", "system_shm", "system_shm_http", "cuda_shm", "cuda_shm_http")
    memories = {"cuda_shm_http": "CUDA shared memory", "system_shm_http": "system shared memory"}
    for label, name in variants.items():
        latency = models[name]["latency"]
        assert [label, *(f"{latency[transport]['p50_ms']:.3f}" for transport in order)] in rows
        for transport, memory in memories.items():
            found = [row["images_per_s"] for row in models[name]["throughput"] if row["transport"] == transport]
            assert [label, memory, *[*(f"{rate:.0f}" for rate in found), "–"][:3]] in rows


def test_the_table_of_gpus_is_the_records() -> None:
    rows = table_rows(section_of("docs/benchmarking-gpu.md", "## Several GPUs"))[2:]
    names = {"system shared memory": "system_shm_http", "CUDA shared memory": "cuda_shm_http"}
    found: dict[tuple[str, int], list[float]] = {}
    for gpus in (1, 2, 4):
        record = json.loads(read(f"results/h200_scale_{gpus}.json"))
        assert record["gpus"] == gpus
        for row in record["models"]["demo_traffic_onnx_fp16"]["throughput"]:
            found.setdefault((row["transport"], row["batch"]), []).append(row["images_per_s"])
    assert len(rows) == len(found)
    for memory, batch, *shown in rows:
        one, *more = found[names[memory], int(batch)]
        assert shown == [f"{one:.0f}", *(f"{rate:.0f} ({rate / one:.2f}×)" for rate in more)]


def test_the_table_of_stages_is_the_reports() -> None:
    """Two tables: the client's own work, the engine and the whole; then what serving adds."""
    page = section_of("docs/benchmarking-gpu.md", "## Where the time goes")
    own, serving = (table_rows(part)[2:] for part in page.split("What serving adds, in the same records:"))
    names = {
        "baseline, before the bridge": "yolo26n_torch_fp32_tensor",
        "compiled FP16, before the bridge": "yolo26n_aoti_fp16",
        "baseline": "demo_traffic_torch_fp32_tensor",
        "PyTorch FP32, our client": "requests over HTTP",
        "ONNX FP32": "ONNX Runtime",
        "ONNX FP16": "CUDA graphs",
        "compiled FP16": "demo_traffic_aoti_fp16",
        "compiled FP16, rectangular": "no padding",
        "YOLO26m, baseline": "yolo26m_torch_fp32_tensor",
        "YOLO26m, compiled FP16, rectangular": "yolo26m_aoti_fp16_rect",
    }
    assert [row[0] for row in own] == list(names)
    assert [row[0] for row in serving] == list(names)
    for (label, prepare, engine, decode, total, record), (_, wire, queue, copy_in, copy_out) in zip(
        own, serving, strict=True
    ):
        shown = [prepare, wire, queue, copy_in, engine, copy_out, decode, total]
        report = read(f"results/{record.strip('`')}.md").partition("## Where the time goes")[2]
        stages = next(row[1:] for row in table_rows(report) if row[0] == names[label])
        assert [float(cell) for cell in shown] == [round(float(cell)) for cell in stages], label


def test_the_goals_are_what_the_records_say() -> None:
    """The figures of the table of goals that are computed from several records."""
    page = read("docs/benchmarking-goals.md")
    eager = {row["batch"]: row["p50_ms"] for row in json.loads(read("results/h100_bridge_eager.json"))["rows"]}
    bare = {
        (row[0], row[1]): float(row[4])
        for row in table_rows(read("results/h100_bridge_engine_yolo26m.md"))[2:]
        if len(row) == 8
    }
    compiled = "yolo26m_aoti_fp16"
    assert f"reached: {eager[1] / bare[compiled, '1']:.1f}× and {eager[8] / bare[compiled, '8']:.1f}×" in page
    soak = json.loads(read("results/h100_soak.json"))
    assert soak["errors"] == []
    assert soak["seconds"] >= 600
    assert f"{sum(soak['images'].values()):,} images, {soak['sessions']} sessions" in page
    assert f"host memory +{soak['growth']['server_host']['grown_percent']:.1f} %" in page
