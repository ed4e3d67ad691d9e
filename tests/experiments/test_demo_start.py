"""What the experiment on the demo's start calls good, late and left behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from experiments.cpu.demo_start import LIMITS_S, Moment, Start, environment, program_of
from photofinish.machine.disk import CACHE_VARIABLE


def picture(wall_s: float) -> Moment:
    return Moment(what="a picture", wall_s=wall_s, cpu_s=1.0)


def test_a_start_in_time_that_leaves_nothing_is_good() -> None:
    assert Start(name="first", load_before=0.0, picture=picture(LIMITS_S["first"]), exit_code=0).faults() == []


@pytest.mark.parametrize(
    ("start", "fault"),
    [
        (Start(name="second", load_before=0.0, picture=picture(15.1), exit_code=0), "no picture within 15 s"),
        (Start(name="first", load_before=0.0, exit_code=0), "no picture within 100 s"),
        (Start(name="first", load_before=0.0, picture=picture(9.0)), "it ended with None"),
        (Start(name="first", load_before=0.0, picture=picture(9.0), exit_code=0, left=["process 7"]), "process 7"),
    ],
)
def test_a_fault_is_told(start: Start, fault: str) -> None:
    assert start.faults() == [fault]


def test_bytecode_and_cache_are_new_and_wheels_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheels = tmp_path / "home" / "wheels"
    wheels.mkdir(parents=True)
    monkeypatch.setenv(CACHE_VARIABLE, str(wheels.parent))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    made = environment(tmp_path)
    assert "PYTHONDONTWRITEBYTECODE" not in made
    assert (Path(made[CACHE_VARIABLE]) / "wheels").resolve() == wheels
    subprocess.run([sys.executable, "-c", "import photofinish.names"], env=made, check=True)
    assert list((tmp_path / "bytecode").rglob("names.*.pyc"))


def test_a_process_is_named_by_what_it_does() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        try:
            assert program_of(psutil.Process(process.pid)) == "sleep"
        finally:
            process.kill()
