"""Experiments by the names they had in `perf/` and `export/`: they run for one release more, and say their new name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT

OLD = {
    "perf": ("camera_speed", "check_discrimination", "cpu_ways", "gpu_server_check", "soak", "wire_faults"),
    "export": ("compare_fp16", "cpu_artifacts", "eager"),
}
"""The scripts that our pages named, by the room they lay in."""


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, *arguments]
    return subprocess.run(line, cwd=CHECKOUT, capture_output=True, text=True, timeout=120, check=False)


def test_an_old_module_runs_and_says_its_new_name() -> None:
    done = run_python("-m", "perf.camera_speed", "--help")
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout.lower()
    assert "perf.NAME is now experiments.NAME" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("room", sorted(OLD))
def test_every_old_module_is_the_experiment(room: str) -> None:
    code = f"import importlib.util as u\nfor name in {OLD[room]}: print(u.find_spec(f'{room}.{{name}}').origin)"
    done = run_python("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(CHECKOUT / "experiments" / f"{name}.py") for name in OLD[room]]
    assert len(done.stderr.splitlines()) == 1


def test_a_room_under_its_own_name_holds_no_experiment() -> None:
    done = run_python("-c", "import importlib.util as u; print(u.find_spec('photofinish.perf.soak'))")
    assert (done.stdout, done.stderr) == ("None\n", "")


@pytest.mark.parametrize("name", ["run_gpu.sh", "run_cpu.sh"])
def test_an_old_script_runs_the_new_one(name: str, tmp_path: Path) -> None:
    experiment, old = tmp_path / "experiments" / name, tmp_path / "perf" / name
    for path in (experiment, old):
        path.parent.mkdir()
    experiment.write_text('#!/bin/sh\necho "$0 $*"\n', encoding="utf-8")
    experiment.chmod(0o755)
    old.write_bytes((CHECKOUT / "perf" / name).read_bytes())
    old.chmod((CHECKOUT / "perf" / name).stat().st_mode)
    done = subprocess.run([old, "one", "two"], capture_output=True, text=True, timeout=30, check=False)
    ran, *arguments = done.stdout.split()
    assert (done.returncode, Path(ran).resolve(), arguments) == (0, experiment, ["one", "two"])
    assert f"perf/{name} is now experiments/{name}" in done.stderr
