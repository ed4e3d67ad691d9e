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
WRITTEN_BY_COMMANDS = {f"{name}.json" for name in ("standard", "comparison", "ladder", "sweep", "trace", "engine")}
"""What `photofinish perf` writes by default: named in the texts, not committed."""
REPORT_ROWS = {
    "frames per second": "Frames per second",
    "P50 latency (ms)": "P50 latency (ms)",
    "P95 latency (ms)": "P95 latency (ms)",
    "P99 latency (ms)": "P99 latency (ms)",
    "GPU memory (MiB)": "GPU memory (MiB)",
    "mAP50-95, 120 frames, through the server": "mAP50-95",
}
"""The README's words for the rows of a report."""


def read(page: str) -> str:
    return (CHECKOUT / page).read_text(encoding="utf-8")


def named_results(text: str) -> set[str]:
    """Names of files under results/ that a text mentions, by path or as a link beside it."""
    return {name.rstrip(".") for name in re.findall(r"results/([A-Za-z0-9_*][A-Za-z0-9_.*-]*)", text)}


def table_rows(text: str) -> list[list[str]]:
    """The cells of every table row."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


@pytest.mark.parametrize("page", PAGES)
def test_every_results_file_that_a_page_names_exists(page: str) -> None:
    missing = [name for name in sorted(named_results(read(page)) - WRITTEN_BY_COMMANDS) if not list(RESULTS.glob(name))]
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
    report = {row[0]: row[1:] for row in reversed(table_rows(read("results/h100_yolo26n.md")))}
    shown = {row[0]: row[1:] for row in table_rows(read("README.md")) if row[0] in REPORT_ROWS}
    assert shown == {name: report[row] for name, row in REPORT_ROWS.items()}


def test_the_tables_of_transports_and_throughput_are_the_record() -> None:
    models = json.loads(read("results/h100_server_check.json"))["models"]
    page = read("docs/benchmarking.md")
    rows = table_rows(page[page.index("**Transports**") : page.index("**INT8 on CUDA**")])
    variants = {"compiled FP16": "yolo26n_aoti_fp16", "ONNX FP16": "yolo26n_onnx_fp16"}
    order = ("grpc", "system_shm", "system_shm_http", "cuda_shm", "cuda_shm_http")
    memories = {"cuda_shm_http": "CUDA shared memory", "system_shm_http": "system shared memory"}
    for label, name in variants.items():
        latency = models[name]["latency"]
        assert [label, *(f"{latency[transport]['p50_ms']:.3f}" for transport in order)] in rows
        for transport, memory in memories.items():
            rates = [row["images_per_s"] for row in models[name]["throughput"] if row["transport"] == transport]
            assert [label, memory, *(f"{rate:.0f}" for rate in rates)] in rows


def test_the_table_of_stages_is_the_reports() -> None:
    page = read("docs/benchmarking.md")
    rows = table_rows(page[page.index("### Where the time goes") : page.index("**Transports**")])[2:]
    suffixes = {"baseline": "torch_fp32_tensor", "compiled FP16": "aoti_fp16", "ONNX FP16": "onnx_fp16"}
    suffixes |= {"ONNX FP32": "onnx_fp32", "ONNX INT8": "onnx_int8"}
    assert len(rows) == 6
    for label, *shown, record in rows:
        report = read(f"results/{record.strip('`')}.md").partition("## Where the time goes")[2]
        name = f"yolo26n_{suffixes[label.partition(',')[0]]}"
        stages = next(row[1:] for row in table_rows(report) if row[0] == name)
        assert [float(cell) for cell in shown] == [round(float(cell)) for cell in stages], label


def test_links_lead_somewhere() -> None:
    for page in ("README.md", "docs/benchmarking.md", "docs/decisions.md", "results/README.md"):
        for target in re.findall(r"\]\(([^)#:]+)[)#]", read(page)):
            assert (CHECKOUT / Path(page).parent / target).exists(), f"{page} links to {target}"
