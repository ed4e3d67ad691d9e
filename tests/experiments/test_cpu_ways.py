"""The ways to run a model on this processor, with stand-ins for the libraries."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from experiments import cpu_ways
from experiments.cpu_ways import WAYS, Way, measure_ways, table_from_record
from photofinish.perf.engine.loops import WARM_UPS


def sleeping_loop(path: Path, threads: int) -> Callable[[], object]:
    seconds = float(path.read_text())
    return lambda: time.sleep(seconds)


def dying_loop(path: Path, threads: int) -> Callable[[], object]:
    """Warms up and then takes its process with it."""
    runs = iter(range(WARM_UPS + 3))
    return lambda: os._exit(1) if next(runs, None) is None else time.sleep(0.001)


def broken_loop(path: Path, threads: int) -> Callable[[], object]:
    raise RuntimeError("this processor cannot")


def silent_loop(path: Path, threads: int) -> Callable[[], object]:
    raise RuntimeError


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    (tmp_path / "slow").write_text("0.04")
    (tmp_path / "fast").write_text("0.01")
    monkeypatch.setattr(
        cpu_ways,
        "WAYS",
        (
            Way(name="slow", precision="fp32", file="slow", make=sleeping_loop),
            Way(name="fast", precision="int8", file="fast", make=sleeping_loop),
            Way(name="broken", precision="fp32", file="slow", make=broken_loop),
            Way(name="silent", precision="fp32", file="slow", make=silent_loop),
            Way(name="dying", precision="fp32", file="slow", make=dying_loop),
            Way(name="missing", precision="fp32", file="absent", make=sleeping_loop),
        ),
    )
    return tmp_path


def test_every_way_is_measured_in_every_round_or_says_why_not(ways: Path) -> None:
    entries = measure_ways(ways, threads=1, seconds=0.2, rounds=2, on_progress=lambda line: None)
    found = {entry["name"]: entry for entry in entries}
    assert [len(found[name]["rounds_ns"]) for name in ("slow", "fast", "broken", "missing")] == [2, 2, 0, 0]
    assert min(found["slow"]["rounds_ns"][0]) >= 40_000_000
    assert found["broken"]["not_run"] == "RuntimeError: this processor cannot"
    assert found["silent"]["not_run"] == "RuntimeError: no reason given"
    assert found["missing"]["not_run"] == "absent was not made"
    assert found["dying"]["not_run"] == "its process ended in round 1"
    assert found["dying"]["rounds_ns"] == []
    lines = table_from_record({"ways": entries}).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == [
        "fast",
        "slow",
        "broken",
        "silent",
        "dying",
        "missing",
    ]
    assert [line.split("|")[5].strip() for line in lines[2:4]] == ["\N{EN DASH}"] * 2, "too few for a P95"
    gain = float(lines[2].split("|")[6].strip().rstrip("\N{MULTIPLICATION SIGN}"))
    assert 1.3 < gain < 6, "4, and less where the machine is busy"


def test_the_first_way_is_the_baseline_that_others_are_compared_with() -> None:
    assert WAYS[0].file == "baseline.pt"
    assert len({way.name for way in WAYS}) == len(WAYS)
