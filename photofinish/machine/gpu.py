"""This machine's NVIDIA GPUs, asked through NVML, or nvidia-smi where NVML's package is not installed.

The functions take the module that `load_nvml` gives, None where there is no GPU. A driver may refuse any question: WSL
and virtual GPUs do not tell the processes, and a GPU may be lost at any moment.
"""

from __future__ import annotations

import logging
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")
_log = logging.getLogger(__name__)


def load_nvml() -> Any | None:
    """The initialised pynvml module, or None where there is no NVIDIA driver, no GPU or no pynvml."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        return pynvml if pynvml.nvmlDeviceGetCount() else None
    except pynvml.NVMLError:
        return None


@contextmanager
def opened_nvml() -> Iterator[Any | None]:
    """What `load_nvml` gives, shut down at the end of the block."""
    nvml = load_nvml()
    try:
        yield nvml
    finally:
        if nvml is not None:
            nvml.nvmlShutdown()


def told(nvml: Any, read: Callable[[], T]) -> T | None:
    """What the driver answers; None where it does not."""
    try:
        return read()
    except nvml.NVMLError as exc:
        _log.debug("NVML does not tell: %s", exc)
        return None


def gpu_handles(nvml: Any | None) -> list[Any]:
    """Of all GPUs; none when the driver does not give one, as after it has lost a GPU."""
    if nvml is None:
        return []
    try:
        return [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
    except nvml.NVMLError as exc:
        _log.debug("NVML does not tell: %s", exc)
        return []


def gpu_name(nvml: Any, handle: Any) -> str:
    """What NVIDIA calls it."""
    return _text(told(nvml, lambda: nvml.nvmlDeviceGetName(handle)) or "lost GPU")


def count_as_nvidia_smi(environment: MutableMapping[str, str]) -> None:
    """Have CUDA, in this process and in those that it starts, number GPUs as the driver and nvidia-smi do.

    Else the fastest comes first, and where GPUs differ the same number means two of them. What the user set stays.
    """
    environment.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")


def driver_numbers(nvml: Any | None, numbers: Iterable[int], environment: Mapping[str, str]) -> list[int]:
    """The driver's number of each GPU that CUDA numbers so here: others, where CUDA_VISIBLE_DEVICES names some."""
    visible = [name.strip() for name in environment.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    by_uuid = {} if nvml is None else {_uuid(nvml, handle): index for index, handle in enumerate(gpu_handles(nvml))}

    def of(number: int) -> int:
        if number >= len(visible):
            return number
        name = visible[number]
        fitting = [index for uuid, index in by_uuid.items() if uuid.startswith(name)]
        return int(name) if name.isdigit() else fitting[0] if len(fitting) == 1 else number

    return [of(number) for number in numbers]


def _uuid(nvml: Any, handle: Any) -> str:
    return _text(told(nvml, lambda: nvml.nvmlDeviceGetUUID(handle)) or "")


def bytes_in_use(nvml: Any) -> dict[int, int]:
    """Memory in use on each GPU now, by index."""
    found = {}
    for index, handle in enumerate(gpu_handles(nvml)):
        if (memory := told(nvml, partial(nvml.nvmlDeviceGetMemoryInfo, handle))) is not None:
            found[index] = int(memory.used)
    return found


def bytes_by_process(nvml: Any, handle: Any) -> dict[int, int]:
    """What each process holds on one GPU; without those of which the driver does not tell it."""
    processes = told(nvml, lambda: nvml.nvmlDeviceGetComputeRunningProcesses(handle)) or []
    return {int(item.pid): int(item.usedGpuMemory) for item in processes if item.usedGpuMemory}


def gpu_facts(nvml: Any, handle: Any) -> dict[str, Any]:
    """What does not change of one GPU; None for what the driver does not tell."""
    return {
        "name": _text(nvml.nvmlDeviceGetName(handle)),
        "memory_mib": int(nvml.nvmlDeviceGetMemoryInfo(handle).total) // 2**20,
        "compute_capability": told(nvml, lambda: ".".join(map(str, nvml.nvmlDeviceGetCudaComputeCapability(handle)))),
        "power_limit_w": told(nvml, lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000),
        "max_sm_clock_mhz": told(nvml, lambda: nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_SM)),
    }


def driver_version(nvml: Any | None) -> str:
    """The driver's version; "" without one."""
    return _text(nvml.nvmlSystemGetDriverVersion()) if nvml else ""


def cuda_driver_version(nvml: Any | None) -> str:
    """The newest CUDA that the driver runs; "" without a driver."""
    if nvml is None:
        return ""
    version = int(nvml.nvmlSystemGetCudaDriverVersion())
    return f"{version // 1000}.{version % 1000 // 10}"


def gpu_lines_from_nvidia_smi() -> list[str]:
    """Name, driver, memory and compute capability of each GPU in one line, from the driver's own program."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    query = [program, "--query-gpu=name,driver_version,memory.total,compute_cap", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in answer.stdout.splitlines() if line.strip()]


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
