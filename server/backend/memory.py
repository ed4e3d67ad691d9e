"""How much memory one instance takes, by itself or beside others in one process."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .model import ConfiguredModel

GPU_METRIC = "photofinish_instance_gpu_memory_bytes"
HOST_METRIC = "photofinish_instance_host_memory_bytes"
COMMON_GPU_METRIC = "photofinish_group_gpu_memory_bytes"
COMMON_HOST_METRIC = "photofinish_group_host_memory_bytes"
"""What the models of one process share: each of them reports it, and it counts once."""

_TEXTS = {
    HOST_METRIC: "Resident host memory of one model instance",
    GPU_METRIC: "GPU memory of one model instance",
    COMMON_HOST_METRIC: "Resident host memory that the models of one process share",
    COMMON_GPU_METRIC: "GPU memory that the models of one process share",
}


@dataclass(frozen=True)
class MemoryFigure:
    """One figure of one instance. device: "cpu:0", "cuda:1"."""

    metric: str
    text: str
    device: str
    byte_size: int


def memory_figures(model: ConfiguredModel, gpu_bytes: int) -> list[MemoryFigure]:
    """The memory of this process, also as lines in the log. gpu_bytes: what loading took on the GPU, 0 on the CPU."""
    found = {HOST_METRIC: resident_bytes()}
    if model.device == "cuda":
        found[GPU_METRIC] = own_gpu_bytes() or gpu_bytes
    return told_figures(model, found)


def told_figures(model: ConfiguredModel, found: Mapping[str, int]) -> list[MemoryFigure]:
    """Bytes by metric as figures, also as lines in the log."""
    device = f"{model.device}:{model.device_id}"
    for metric, size in found.items():
        sys.stderr.write(f"photofinish: {model.name} on {device}: {_TEXTS[metric].lower()} {size / 2**20:.0f} MiB\n")
    return [MemoryFigure(metric, _TEXTS[metric], device, size) for metric, size in found.items()]


def resident_bytes() -> int:
    """Host memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class _ProcessInfo(ctypes.Structure):
    """NVML's nvmlProcessInfo_t, second version."""

    _fields_ = (
        ("pid", ctypes.c_uint),
        ("used_bytes", ctypes.c_ulonglong),
        ("gpu_instance", ctypes.c_uint),
        ("compute_instance", ctypes.c_uint),
    )


def own_gpu_bytes() -> int:
    """GPU memory of this process as the driver counts it; 0 where the driver does not tell (some containers).

    All GPUs are asked: this process uses one, and CUDA may number them in another way than the driver does.
    """
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return 0
    gpus = ctypes.c_uint()
    if nvml.nvmlInit_v2() or nvml.nvmlDeviceGetCount_v2(ctypes.byref(gpus)):
        return 0
    return sum(_own_bytes_on(nvml, index) for index in range(gpus.value))


def _own_bytes_on(nvml: ctypes.CDLL, index: int) -> int:
    device = ctypes.c_void_p()
    count = ctypes.c_uint(256)
    processes = (_ProcessInfo * count.value)()
    if nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(device)) or nvml.nvmlDeviceGetComputeRunningProcesses_v3(
        device, ctypes.byref(count), processes
    ):
        return 0
    unknown = ctypes.c_ulonglong(-1).value
    return sum(
        item.used_bytes for item in processes[: count.value] if item.pid == os.getpid() and item.used_bytes != unknown
    )
