"""NVML and nvidia-smi, where they answer and where they do not."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from photofinish.machine.gpu import (
    bytes_by_process,
    bytes_in_use,
    count_as_nvidia_smi,
    driver_numbers,
    gpu_facts,
    gpu_handles,
    gpu_lines_from_nvidia_smi,
    gpu_name,
    load_nvml,
    opened_nvml,
)


class NvmlError(Exception):
    """As pynvml's."""


def refuse(*arguments: object) -> Any:
    raise NvmlError("Not Supported")


def driver(**changes: Any) -> SimpleNamespace:
    """The part of pynvml that is asked, with two GPUs."""
    processes = {0: [(11, 7), (12, None)], 1: [(11, 5)]}
    parts = {
        "NVMLError": NvmlError,
        "NVML_CLOCK_SM": 1,
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetCount": lambda: 2,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetName": lambda handle: f"Toy {handle}".encode(),
        "nvmlDeviceGetMemoryInfo": lambda handle: SimpleNamespace(used=handle + 1, total=8 << 30),
        "nvmlDeviceGetComputeRunningProcesses": lambda handle: [
            SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in processes[handle]
        ],
        "nvmlDeviceGetCudaComputeCapability": lambda handle: (12, 0),
        "nvmlDeviceGetEnforcedPowerLimit": lambda handle: 250_000,
        "nvmlDeviceGetMaxClockInfo": lambda handle, clock: 3000,
    }
    return SimpleNamespace(**{**parts, **changes})


@pytest.mark.parametrize(
    ("visible", "expected"),
    [(None, [0, 1]), ("3,5", [3, 5]), ("GPU-b, GPU-a", [1, 0]), ("GPU-x,5", [0, 5]), ("1", [1, 1])],
)
def test_numbers_of_cuda_are_brought_to_the_drivers(visible: str | None, expected: list[int]) -> None:
    nvml = driver(nvmlDeviceGetUUID=lambda handle: ("GPU-aaaa", b"GPU-bbbb")[handle])
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert driver_numbers(nvml, (0, 1), environment) == expected
    assert driver_numbers(None, (0,), {}) == [0]


def test_gpus_are_numbered_as_the_driver_does_unless_the_user_says_otherwise() -> None:
    environment = {"CUDA_DEVICE_ORDER": "FASTEST_FIRST"}
    count_as_nvidia_smi(environment)
    assert environment == {"CUDA_DEVICE_ORDER": "FASTEST_FIRST"}
    count_as_nvidia_smi(empty := {})
    assert empty == {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def test_what_a_driver_tells() -> None:
    nvml = driver()
    assert [gpu_name(nvml, handle) for handle in gpu_handles(nvml)] == ["Toy 0", "Toy 1"]
    assert bytes_in_use(nvml) == {0: 1, 1: 2}
    assert bytes_by_process(nvml, 0) == {11: 7}
    assert gpu_facts(nvml, 1) == {
        "name": "Toy 1",
        "memory_mib": 8192,
        "compute_capability": "12.0",
        "power_limit_w": 250.0,
        "max_sm_clock_mhz": 3000,
    }


def test_what_a_driver_does_not_tell_is_left_out() -> None:
    nvml = driver(nvmlDeviceGetName=refuse, nvmlDeviceGetMemoryInfo=refuse, nvmlDeviceGetComputeRunningProcesses=refuse)
    assert gpu_name(nvml, 0) == "lost GPU"
    assert bytes_in_use(nvml) == bytes_by_process(nvml, 0) == {}
    assert gpu_handles(driver(nvmlDeviceGetHandleByIndex=refuse)) == []
    assert gpu_facts(driver(nvmlDeviceGetEnforcedPowerLimit=refuse), 0)["power_limit_w"] is None


@pytest.mark.parametrize("changes", [{"nvmlInit": refuse}, {"nvmlDeviceGetCount": refuse}, {"nvmlDeviceGetCount": int}])
def test_no_driver_or_no_gpu_is_nothing_to_ask(monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", driver(**changes))
    assert load_nvml() is None
    with opened_nvml() as nvml:
        assert gpu_handles(nvml) == []


def test_no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert load_nvml() is None


def test_what_was_opened_is_shut_down(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = []
    monkeypatch.setitem(sys.modules, "pynvml", driver(nvmlShutdown=lambda: ended.append(True)))
    with opened_nvml() as nvml:
        assert bytes_in_use(nvml) == {0: 1, 1: 2}
        assert not ended
    assert ended


@pytest.mark.parametrize(
    ("script", "lines"),
    [("echo 'Toy GPU, 580.1, 8192 MiB, 12.0'", ["Toy GPU, 580.1, 8192 MiB, 12.0"]), ("exit 9", []), (None, [])],
)
def test_the_drivers_own_program(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str | None, lines: list[str]
) -> None:
    if script is not None:
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpu_lines_from_nvidia_smi() == lines
