"""How much memory one instance takes, by itself or beside others in one process."""

from __future__ import annotations

import ctypes
import os
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .cuda.driver import Cuda, refuse_on_error
from .model import ApartError, ConfiguredModel

GPU_METRIC = "photofinish_instance_gpu_memory_bytes"
HOST_METRIC = "photofinish_instance_host_memory_bytes"
COMMON_GPU_METRIC = "photofinish_group_gpu_memory_bytes"
COMMON_HOST_METRIC = "photofinish_group_host_memory_bytes"
"""What the models of one process share: each of them reports it, and it counts once."""

_COMMON = {HOST_METRIC: COMMON_HOST_METRIC, GPU_METRIC: COMMON_GPU_METRIC}
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
        found[GPU_METRIC] = own_gpu_bytes(model.device_id) or gpu_bytes
    return _told(model, found)


def _told(model: ConfiguredModel, found: Mapping[str, int]) -> list[MemoryFigure]:
    device = f"{model.device}:{model.device_id}"
    for metric, size in found.items():
        sys.stderr.write(f"photofinish: {model.name} on {device}: {_TEXTS[metric].lower()} {size / 2**20:.0f} MiB\n")
    return [MemoryFigure(metric, _TEXTS[metric], device, size) for metric, size in found.items()]


class Account:
    """The memory of a process that several models share: to each what loading it added, and what is common to all.

    Models are loaded one at a time. At each load the shares and what is common are together what the process holds;
    what others take beyond their share while they serve is common. Only models go together that want the same of what
    a process has once.
    """

    def __init__(self) -> None:
        self._shares: dict[str, Counter[str]] = {}
        self._settings = ""
        self._before: Counter[str] = Counter()
        self._name = ""
        self.cuda: Cuda | None = None

    def prepare(self, name: str, model: ConfiguredModel) -> None:
        """Before the model, an instance of that name, is loaded: the context is there. Raises ApartError."""
        settings = process_settings(model)
        if self._shares and settings != self._settings:
            raise ApartError(settings)
        self._settings, self._name = settings, name
        if model.device == "cuda" and self.cuda is None:
            self.cuda = Cuda(model.device_id, is_shared=True)
            if model.card.get("cuda_graphs"):
                with refuse_on_error():
                    self.cuda.shrink_stacks()
        self._before = self._held(model)

    def figures(self, model: ConfiguredModel, gpu_bytes: int) -> list[MemoryFigure]:
        """When it is loaded: its share, and what is common. gpu_bytes: its share where the driver does not tell."""
        held = self._held(model)
        share = Counter({name: max(size - self._before[name], 0) for name, size in held.items()})
        if model.device == "cuda" and not held[GPU_METRIC]:
            share[GPU_METRIC] = gpu_bytes
        self._shares[self._name] = share
        found = dict(share)
        for metric, common in _COMMON.items():
            if held[metric]:
                found[common] = max(held[metric] - sum(each[metric] for each in self._shares.values()), 0)
        return _told(model, found)

    def leave(self, name: str) -> None:
        """The instance is no longer there, and what it took is free."""
        self._shares.pop(name, None)

    def is_broken(self) -> bool:
        """Whether nothing can be run in this process's context on the GPU any more."""
        return self.cuda is not None and self.cuda.is_broken()

    def _held(self, model: ConfiguredModel) -> Counter[str]:
        held = Counter({HOST_METRIC: resident_bytes()})
        if model.device == "cuda":
            held[GPU_METRIC] = own_gpu_bytes(model.device_id)
        return held


def process_settings(model: ConfiguredModel) -> str:
    """What it wants of things that a process has once: small stacks on the GPU, TF32, a library of TensorRT's."""
    wishes = [name for name in ("cuda_graphs", "tf32") if model.card.get(name)]
    wishes += sorted({str(engine.get("library")) for engine in model.card.get("engines", {}).values()})
    return "-" + "-".join(wishes or ["plain"])


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


def own_gpu_bytes(device_id: int) -> int:
    """GPU memory of this process as the driver counts it; 0 where the driver does not tell (some containers)."""
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return 0
    device = ctypes.c_void_p()
    count = ctypes.c_uint(256)
    processes = (_ProcessInfo * count.value)()
    if (
        nvml.nvmlInit_v2()
        or nvml.nvmlDeviceGetHandleByIndex_v2(device_id, ctypes.byref(device))
        or nvml.nvmlDeviceGetComputeRunningProcesses_v3(device, ctypes.byref(count), processes)
    ):
        return 0
    unknown = ctypes.c_ulonglong(-1).value
    return sum(
        item.used_bytes for item in processes[: count.value] if item.pid == os.getpid() and item.used_bytes != unknown
    )
