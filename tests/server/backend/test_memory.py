"""A model process's GPU memory, as the driver tells it."""

from __future__ import annotations

import ctypes
import os
from typing import Any

import pytest

from photofinish.server.backend import memory

OTHERS_PID = 1


class Nvml:
    """A driver with these processes on each GPU: pairs of process id and bytes."""

    def __init__(self, *gpus: list[tuple[int, int]]) -> None:
        self.gpus = gpus

    def nvmlInit_v2(self) -> int:  # noqa: N802 (the driver's own name)
        return 0

    def nvmlDeviceGetCount_v2(self, count: Any) -> int:  # noqa: N802
        count._obj.value = len(self.gpus)
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, index: int, device: Any) -> int:  # noqa: N802
        device._obj.value = index + 1
        return 0

    def nvmlDeviceGetComputeRunningProcesses_v3(self, device: Any, count: Any, found: Any) -> int:  # noqa: N802
        told = self.gpus[device.value - 1]
        count._obj.value = len(told)
        for row, (pid, used_bytes) in zip(found, told, strict=False):
            row.pid, row.used_bytes = pid, used_bytes
        return 0


def test_memory_is_found_on_whichever_gpu_the_driver_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA_VISIBLE_DEVICES=1 makes CUDA call the driver's second GPU its first."""
    own = os.getpid()
    nvml = Nvml([(OTHERS_PID, 5 << 20)], [(OTHERS_PID, 7 << 20), (own, 300 << 20)])
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: nvml)
    assert memory.own_gpu_bytes() == 300 << 20


def test_a_driver_that_does_not_tell_counts_as_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = ctypes.c_ulonglong(-1).value
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: Nvml([(os.getpid(), unknown)]))
    assert memory.own_gpu_bytes() == 0
