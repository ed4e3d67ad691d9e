"""What the page says of the machine: GPU memory of each side's model, and a line about the processor and GPUs."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from photofinish.errors import ServerUnavailableError
from photofinish.machine.addresses import is_loopback
from photofinish.machine.gpu import bytes_by_process, bytes_in_use, gpu_handles, gpu_name, opened_nvml
from photofinish.machine.processes import model_processes
from photofinish.machine.processor import cpu_name, usable_cores
from photofinish.machine.triton_metrics import read_metrics, sum_of

INTERVAL_S = 2.0
METRICS_TIMEOUT_S = 2.0
_OWN_METRIC = "photofinish_instance_gpu_memory_bytes"
_WHOLE_METRIC = "nv_gpu_memory_used_bytes"


Covers = Literal["alone", "whole", "cpu", "not_given", "no_metrics", "not_read"]
"""What a figure of GPU memory covers: this model alone, the whole GPU; or why there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryReading:
    """used_bytes: of GPU memory, None where there is no figure. where: the metrics address that does not answer."""

    covers: Covers
    used_bytes: int | None = None
    where: str = ""


NO_GPU = MemoryReading(covers="cpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineFacts:
    """What the page says of the machine. server: the address of one elsewhere, of which nothing else is known."""

    processor: str = ""
    cores: int = 0
    gpus: tuple[str, ...] = ()
    server: str = ""


def memory_by_model(url: str, metrics_url: str | None, model_names: Sequence[str]) -> dict[str, MemoryReading]:
    """GPU memory of every model alone where somebody can tell, else of the whole GPU, and the note says which.

    The embedded server runs each model in a process of its own and publishes its memory; without a metrics address
    NVML tells the same on the server's machine. A C++ backend shares one process with all others: there the GPU's
    used memory is all that can be known.
    """
    if metrics_url is not None:
        return _memory_from_metrics(metrics_url, model_names)
    if not is_loopback(url):
        return dict.fromkeys(model_names, MemoryReading(covers="not_given"))
    used_by_pid, total_bytes = nvml_memory()
    if total_bytes is None:
        return dict.fromkeys(model_names, NO_GPU)
    processes = model_processes(model_names)
    own = {name: sum(used_by_pid.get(pid, 0) for pid in pids) for name, pids in processes.items()}
    return _alone_or_whole(own, total_bytes)


def _memory_from_metrics(metrics_url: str, model_names: Sequence[str]) -> dict[str, MemoryReading]:
    try:
        metrics = read_metrics(metrics_url, timeout_s=METRICS_TIMEOUT_S)
    except ServerUnavailableError:
        return dict.fromkeys(model_names, MemoryReading(covers="no_metrics", where=metrics_url))
    own = {name: int(sum_of(metrics, _OWN_METRIC, model=name)) for name in model_names}
    return _alone_or_whole(own, int(sum_of(metrics, _WHOLE_METRIC)))


def nvml_memory() -> tuple[dict[int, int], int | None]:
    """Used bytes per process id, and of all GPUs together; None when there is no GPU."""
    with opened_nvml() as nvml:
        if nvml is None:
            return {}, None
        by_pid: dict[int, int] = {}
        in_use = bytes_in_use(nvml)
        for index, handle in enumerate(gpu_handles(nvml)):
            for pid, used in bytes_by_process(nvml, handle).items() if index in in_use else ():
                by_pid[pid] = by_pid.get(pid, 0) + used
        return by_pid, sum(in_use.values())


def _alone_or_whole(own: Mapping[str, int], total_bytes: int) -> dict[str, MemoryReading]:
    if any(own.values()):
        return {name: MemoryReading(covers="alone", used_bytes=used) if used else NO_GPU for name, used in own.items()}
    if not total_bytes:
        return dict.fromkeys(own, NO_GPU)
    return dict.fromkeys(own, MemoryReading(covers="whole", used_bytes=total_bytes))


def machine_facts() -> MachineFacts:
    """Processor, cores and GPUs of this machine."""
    return MachineFacts(processor=_processor(), cores=usable_cores(), gpus=_gpu_names())


def _processor() -> str:
    """The processor's name without marks and clock."""
    name = re.sub(r"\((R|TM)\)|\bCPU\b|\s+@.*", "", cpu_name()).replace("  ", " ").strip()
    return "CPU" if name in ("", "unknown") else name


def _gpu_names() -> tuple[str, ...]:
    with opened_nvml() as nvml:
        return tuple(gpu_name(nvml, handle) for handle in gpu_handles(nvml))


class MemoryMeter:
    """A thread that keeps the readings fresh."""

    def __init__(self, url: str, metrics_url: str | None) -> None:
        """url: the server's gRPC address; metrics_url: its metrics address, None when not known."""
        self._url = url
        self._metrics_url = metrics_url
        self._names: tuple[str, ...] = ()
        self._readings: Mapping[str, MemoryReading] = {}
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gpu-memory", daemon=True)

    def __enter__(self) -> MemoryMeter:
        """Start reading."""
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Stop reading."""
        self._stop.set()
        self._wake.set()
        self._thread.join()

    def watch(self, model_names: Sequence[str]) -> None:
        """Read these models from now on."""
        self._names = tuple(model_names)
        self._wake.set()

    def reading(self, model_name: str) -> MemoryReading:
        """The newest reading of that model."""
        return self._readings.get(model_name, MemoryReading(covers="not_read"))

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            if self._names:
                self._readings = memory_by_model(self._url, self._metrics_url, self._names)
            self._wake.wait(INTERVAL_S)
