"""Processes and their processor time, on this machine's /proc and on a made-up one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from photofinish.machine.processes import (
    CpuMeter,
    ProcessTable,
    ProcessTree,
    busiest_programs,
    busy_ticks,
    command_line,
    is_alive,
    listed_programs,
    machine_cpu_s,
    model_processes,
    own_cpu_s,
    process_table,
)


@pytest.fixture
def family() -> Iterator[tuple[int, int]]:
    """A child process with a child of its own: their ids."""
    inner = "import time; time.sleep(60)"
    code = (
        f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {inner!r}]).pid, flush=True); {inner}"
    )
    process = subprocess.Popen([sys.executable, "-c", code, "/repo/toy_fp16/1/model.onnx"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    grandchild = int(process.stdout.readline())
    yield process.pid, grandchild
    for pid in (grandchild, process.pid):
        os.kill(pid, 9)
    process.wait()
    process.stdout.close()


def test_backend_processes_are_found_by_their_models_name(tmp_path: Path) -> None:
    commands = {
        "11": ["/b/python/triton_python_backend_stub", "/repo/toy_fp32/1/model.py", "shm", "toy_fp32_0_0", "x"],
        "12": ["/b/python/triton_python_backend_stub", "/m.py", "shm", "toy_fp32_tensor_0_0"],
        "13": ["python", "toy_fp32_0_0"],
        "14": [""],
        "15": ["python", "-I", "/b/onnxruntime/photofinish_backend/lane/process.py", "toy_onnx_0_1"],
    }
    for pid, arguments in commands.items():
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "cmdline").write_bytes("\0".join(arguments).encode())
    assert model_processes(["toy_fp32", "toy_fp32_tensor", "toy_onnx"], tmp_path) == {
        "toy_fp32": [11],
        "toy_fp32_tensor": [12],
        "toy_onnx": [15],
    }


def test_a_tree_is_a_process_and_all_it_started(family: tuple[int, int]) -> None:
    child, grandchild = family
    assert ProcessTree(child).pids() == {child, grandchild}
    assert ProcessTree(os.getpid()).pids() >= {os.getpid(), child, grandchild}
    assert ProcessTree(999_999_999).pids() == set()
    assert process_table().with_descendants([grandchild, 999_999_999]) == {grandchild}


@pytest.mark.parametrize(
    ("word", "is_models"),
    [
        ("toy_0_0", True),
        ("toy", True),
        ("/repo/toy/1/model.onnx", True),
        ("/repo/toy", True),
        ("toy16", False),
        ("toy_fp16_0_0", False),
        ("/repo/toy_fp16/1", False),
        ("my_toy", False),
    ],
)
def test_a_models_process_is_known_by_its_command_line(word: str, is_models: bool) -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", word])
    try:
        tree = ProcessTree(os.getpid())
        assert (process.pid in tree.pids_of_model("toy")) is is_models
        assert process.pid not in ProcessTree(process.pid).pids_of_model("toy"), "the tree's root is the server itself"
        assert tree.pids_of_model("") == set()
    finally:
        process.kill()
        process.wait()


def test_the_figures_are_those_of_psutil() -> None:
    busy_until = time.process_time() + 0.1
    while time.process_time() < busy_until:
        pass
    times = psutil.Process().cpu_times()
    assert process_table().ticks[os.getpid()] / os.sysconf("SC_CLK_TCK") == pytest.approx(
        times.user + times.system, abs=0.1
    )
    assert command_line(os.getpid())[: len(sys.orig_argv)] == psutil.Process().cmdline()
    whole = psutil.cpu_times()
    theirs = sum(whole) - whole.idle - whole.iowait - whole.guest - whole.guest_nice
    assert machine_cpu_s() == pytest.approx(theirs, abs=2)


def test_the_busiest_programs_of_others_are_named() -> None:
    hz = os.sysconf("SC_CLK_TCK")
    parents = {1: 0, 10: 1, 11: 10, 20: 1, 21: 1, 30: 1, 40: 1}
    names = {1: "init", 10: "ours", 11: "ours", 20: "gcc", 21: "gcc", 30: "node", 40: "idle"}
    before = ProcessTable(parents=parents, ticks=dict.fromkeys(parents, 0), names=names)
    used = {1: 0, 10: 9 * hz, 11: 9 * hz, 20: 2 * hz, 21: hz, 30: hz, 40: 0}
    found = busiest_programs(before, ProcessTable(parents=parents, ticks=used, names=names), [10], 2.0)
    assert found == (("gcc", 1.5), ("node", 0.5))
    assert listed_programs(found) == "gcc 1.5, node 0.5"
    assert process_table().names[os.getpid()]


def test_cores_in_use() -> None:
    meter = CpuMeter(own_cpu_s)
    busy_until = time.process_time() + 0.1
    while time.process_time() < busy_until:
        pass
    assert 0.02 < meter.cores() <= 1.2
    now = iter((10.0, 12.0, 10.0, 10.0))
    used = iter((5.0, 8.0, 5.0, 5.0))
    assert CpuMeter(lambda: next(used), lambda: next(now)).cores() == 1.5
    assert CpuMeter(lambda: next(used), lambda: next(now)).cores() == 0


def test_a_machine_without_proc_tells_nothing(tmp_path: Path) -> None:
    assert busy_ticks(tmp_path) is None
    assert process_table(tmp_path).with_descendants([1]) == set()
    assert command_line(1, tmp_path) == []
    (tmp_path / "stat").write_text("cpu nonsense\n")
    assert busy_ticks(tmp_path) is None
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "stat").write_text("7 (short) S\n")
    assert process_table(tmp_path).parents == {}


def test_who_lives(family: tuple[int, int]) -> None:
    assert is_alive(os.getpid())
    assert is_alive(1), "somebody else's is alive as well"
    assert all(map(is_alive, family))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert not is_alive(ended.pid)
    assert not is_alive(1 << 40)
