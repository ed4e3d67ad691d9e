"""perf_analyzer found, provisioned, run and read, with a small program in its place."""

from __future__ import annotations

import base64
import json
import stat
import sys
from pathlib import Path

import numpy as np
import pytest

from photofinish.perf.measure import perf_analyzer_program
from photofinish.perf.measure.perf_analyzer_program import (
    PerfAnalyzer,
    PerfAnalyzerError,
    find_perf_analyzer,
    linked_libraries,
)
from photofinish.perf.measure.perf_analyzer_run import (
    carried_figures,
    figures_from_csv,
    run_perf_analyzer,
    samples_from_profile,
    write_input_data,
)

CSV = (
    "Concurrency,Inferences/Second,Client Send,p50 latency,p90 latency,p95 latency,p99 latency,Avg latency,note\n"
    "4,497.777,4,2221,3103,3546,5946,4284,text\n"
)


def _program(folder: Path, body: str) -> PerfAnalyzer:
    path = folder / "perf_analyzer"
    path.write_text(f"#!{sys.executable}\nimport json, sys, time, pathlib\nargs = sys.argv[1:]\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return PerfAnalyzer(path=path, origin="test")


WORKING = f"""
assert args[args.index("--shared-memory") + 1] == "system"
count = int(args[args.index("--request-count") + 1])
pathlib.Path(args[args.index("-f") + 1]).write_text({CSV!r})
requests = [
    {{"timestamp": 10**9 + i * 10**6, "response_timestamps": [10**9 + i * 10**6 + (90 if i < 3 else 2) * 10**6]}}
    for i in range(count)
]
profile = {{"experiments": [{{"experiment": {{}}, "requests": requests[::-1]}}]}}
pathlib.Path(args[args.index("--profile-export-file") + 1]).write_text(json.dumps(profile))
"""


def _run(program: PerfAnalyzer, *, shared_memory: bool = True, timeout_s: float = 30.0) -> object:
    return run_perf_analyzer(
        program,
        model="toy",
        url="127.0.0.1:1",
        input_data=Path("in.json"),
        concurrency=4,
        requests=50,
        warm_up=3,
        shared_memory=shared_memory,
        timeout_s=timeout_s,
    )


def test_requests_after_the_warm_up_are_kept_with_their_times(tmp_path: Path) -> None:
    result = _run(_program(tmp_path, WORKING))
    samples = result.samples  # type: ignore[attr-defined]
    assert samples.request_count == 50
    assert set(samples.latency_ns.tolist()) == {2_000_000}
    assert samples.scheduled_ns[:2] == (0, 1_000_000)
    assert samples.frames_per_s == pytest.approx(50 / 0.051)
    assert result.figures["p95 latency"] == 3546  # type: ignore[attr-defined]
    assert "note" not in result.figures  # type: ignore[attr-defined]


def test_requests_without_an_answer_are_errors_not_forgotten() -> None:
    requests = [{"timestamp": index * 100, "response_timestamps": [index * 100 + 50]} for index in range(10)]
    for index in (1, 4, 9):
        requests[index]["response_timestamps"] = []
    profile = json.dumps({"experiments": [{"requests": requests}]})
    samples = samples_from_profile(profile, skip=2)
    assert (samples.request_count, samples.completed_count, samples.failed) == (8, 6, (2, 7))
    assert set(samples.latency_ns.tolist()) == {50}
    assert samples.error_counts == {"without an answer": 2}
    with pytest.raises(PerfAnalyzerError, match="answered 7 requests, needed more than 9"):
        samples_from_profile(profile, skip=9)


def test_without_shared_memory_only_its_own_figures_are_there(tmp_path: Path) -> None:
    program = _program(tmp_path, f'pathlib.Path(args[args.index("-f") + 1]).write_text({CSV!r})')
    result = _run(program, shared_memory=False)
    assert result.samples.request_count == 0  # type: ignore[attr-defined]
    assert result.figures["Inferences/Second"] == 497.777  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('print("Error: connection refused\\nUsage: perf_analyzer"); sys.exit(99)', "99: Error: connection refused"),
        ("sys.exit(3)", "exited with 3: no output"),
        ("time.sleep(60)", "did not end within 0.5 s"),
        (WORKING.replace('"timestamp"', '"when"'), "profile cannot be read"),
        (WORKING.replace("requests[::-1]", "[]"), "without an error and wrote no request at all"),
        ("", "without an error and wrote no request at all"),
        (
            'for key in ("-f", "--profile-export-file"): pathlib.Path(args[args.index(key) + 1]).touch()',
            "no request at all",
        ),
    ],
)
def test_what_goes_wrong_is_said(tmp_path: Path, body: str, said: str) -> None:
    with pytest.raises(PerfAnalyzerError, match=said):
        _run(_program(tmp_path, body), timeout_s=0.5 if "sleep" in body else 30.0)


def test_a_missing_program_and_odd_files(tmp_path: Path) -> None:
    with pytest.raises(PerfAnalyzerError, match="cannot be run"):
        _run(PerfAnalyzer(path=tmp_path / "missing", origin="test"))
    with pytest.raises(PerfAnalyzerError, match="0 rows"):
        figures_from_csv("")
    with pytest.raises(PerfAnalyzerError, match="cannot be read"):
        samples_from_profile("{}", skip=0)


def test_input_data_is_the_raw_pictures(tmp_path: Path) -> None:
    pictures = [np.full((2, 2, 3), value, np.uint8) for value in (1, 2)]
    write_input_data(tmp_path / "in.json", "frames", pictures)
    steps = json.loads((tmp_path / "in.json").read_text())["data"]
    assert [step["frames"]["shape"] for step in steps] == [[2, 2, 3], [2, 2, 3]]
    assert base64.b64decode(steps[1]["frames"]["b64"]) == pictures[1].tobytes()


def test_the_one_on_path_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _program(tmp_path, "")
    monkeypatch.setenv("PATH", str(tmp_path))
    found = find_perf_analyzer(lambda: pytest.fail("not needed"))
    assert (found.path, found.origin) == (tmp_path / "perf_analyzer", "PATH")


def test_links_carry_the_names_the_program_wants(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    for name in ("libb64-98cb6333.so.0d", "libcudart-09529672.so.12.6.77", "libcurl-75a2.so.4"):
        (bundle / name).write_text(name)
    for _ in range(2):
        folder = linked_libraries(("libb64.so.0d", "libcudart.so.12"), bundle, tmp_path / "cache")
        assert sorted(item.name for item in folder.iterdir()) == ["libb64.so.0d", "libcudart.so.12"]
        assert (folder / "libcudart.so.12").read_text() == "libcudart-09529672.so.12.6.77"
    assert [item.name for item in (tmp_path / "cache").iterdir()] == [folder.name]
    with pytest.raises(PerfAnalyzerError, match=r"libssl\.so\.3"):
        linked_libraries(("libssl.so.3",), bundle, tmp_path / "cache")


def test_an_old_system_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(perf_analyzer_program, "glibc_version", lambda: (2, 31))
    with pytest.raises(PerfAnalyzerError, match=r"needs glibc 2\.35 or newer, found 2\.31"):
        find_perf_analyzer(lambda: Path("/"))


def test_its_own_percentiles_keep_the_rule_of_sample_sizes() -> None:
    """Without shared memory its CSV is all there is, and that has a P99 of however few requests."""
    figures = {"Inferences/Second": 9.0, "p50 latency": 1.0, "p90 latency": 2.0, "p95 latency": 3.0, "p99 latency": 4.0}
    dropped = {count: figures.keys() - carried_figures(figures, count).keys() for count in (23, 64, 130, 662)}
    assert dropped == {
        23: {"p90 latency", "p95 latency", "p99 latency"},
        64: {"p95 latency", "p99 latency"},
        130: {"p99 latency"},
        662: set(),
    }
