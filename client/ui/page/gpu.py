"""GPU memory of each side's model, and a line about this machine."""

from __future__ import annotations

import os
import re
import threading
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from photofinish.machine.addresses import is_loopback

INTERVAL_S = 2.0
_OWN_METRIC = "photofinish_instance_gpu_memory_bytes"
_PROGRAMS = ("triton_python_backend_stub", "photofinish_model_process.py")
_WHOLE_METRIC = "nv_gpu_memory_used_bytes"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryReading:
    """text: "412 MB", "no GPU" or "unknown"; note: what the figure covers."""

    text: str
    note: str = ""


NO_GPU = MemoryReading(text="no GPU")


def memory_by_model(url: str, metrics_url: str | None, model_names: Sequence[str]) -> dict[str, MemoryReading]:
    """GPU memory of every model alone where somebody can tell, else of the whole GPU, and the note says which.

    The embedded server runs each model in a process of its own and publishes its memory; without a metrics address
    NVML tells the same on the server's machine. A C++ backend shares one process with all others: there the GPU's
    used memory is all that can be known.
    """
    if metrics_url is not None:
        return _memory_from_metrics(metrics_url, model_names)
    if not is_loopback(url):
        reading = MemoryReading(text="unknown", note="the server's metrics address was not given")
        return dict.fromkeys(model_names, reading)
    used_by_pid, total_bytes = nvml_memory()
    if total_bytes is None:
        return dict.fromkeys(model_names, NO_GPU)
    processes = model_processes(model_names)
    own = {name: sum(used_by_pid.get(pid, 0) for pid in pids) for name, pids in processes.items()}
    return _alone_or_whole(own, total_bytes)


def _memory_from_metrics(metrics_url: str, model_names: Sequence[str]) -> dict[str, MemoryReading]:
    try:
        # A proxy from the environment is not used for this machine itself.
        proxies = urllib.request.ProxyHandler({} if is_loopback(metrics_url) else None)
        with urllib.request.build_opener(proxies).open(f"http://{metrics_url}/metrics", timeout=2.0) as answer:
            text = answer.read(4_000_000).decode(errors="replace")
    except (OSError, ValueError):
        return dict.fromkeys(model_names, MemoryReading(text="unknown", note=f"no metrics at {metrics_url}"))
    own = {name: _metric_sum(text, _OWN_METRIC, f'model="{name}"') for name in model_names}
    return _alone_or_whole(own, _metric_sum(text, _WHOLE_METRIC, ""))


def _metric_sum(text: str, metric: str, label: str) -> int:
    lines = (line for line in text.splitlines() if line.startswith(metric + "{") and label in line)
    return int(sum(float(line.rsplit(" ", 1)[1]) for line in lines))


def _alone_or_whole(own: Mapping[str, int], total_bytes: int) -> dict[str, MemoryReading]:
    if any(own.values()):
        note = "this model alone"
        return {
            name: MemoryReading(text=format_megabytes(used), note=note) if used else NO_GPU
            for name, used in own.items()
        }
    if not total_bytes:
        return dict.fromkeys(own, NO_GPU)
    whole = MemoryReading(text=format_megabytes(total_bytes), note="the whole GPU, both sides together")
    return dict.fromkeys(own, whole)


def format_megabytes(memory_bytes: int) -> str:
    """Bytes as MB of 2**20."""
    return f"{memory_bytes / 2**20:.0f} MB"


def model_processes(model_names: Iterable[str], proc: Path = Path("/proc")) -> dict[str, list[int]]:
    """Ids of the processes in which the embedded server runs each model; it names them `<model>_<n>_<m>`.

    Without the bridge they are the stubs of Triton's Python backend.
    """
    wanted = {name: re.compile(rf"{re.escape(name)}_\d+(_\d+)?") for name in model_names}
    found: dict[str, list[int]] = {name: [] for name in wanted}
    for folder in proc.glob("[0-9]*"):
        try:
            arguments = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if not any(argument.endswith(_PROGRAMS) for argument in arguments[:3]):
            continue
        for name, pattern in wanted.items():
            if any(pattern.fullmatch(argument) for argument in arguments[1:]):
                found[name].append(int(folder.name))
    return found


@contextmanager
def _nvml() -> Any:
    """pynvml, initialised; None without the package, a driver or a GPU."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # pynvml raises one class per driver state; each of them means: no GPU to ask
        yield None
        return
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()


def nvml_memory() -> tuple[dict[int, int], int | None]:
    """Used bytes per process id, and of all GPUs together; None when there is no GPU."""
    with _nvml() as nvml:
        if nvml is None or not nvml.nvmlDeviceGetCount():
            return {}, None
        by_pid: dict[int, int] = {}
        total = 0
        for index in range(nvml.nvmlDeviceGetCount()):
            with suppress(nvml.NVMLError):  # a lost GPU; WSL and virtual GPUs do not tell the processes
                handle = nvml.nvmlDeviceGetHandleByIndex(index)
                total += int(nvml.nvmlDeviceGetMemoryInfo(handle).used)
                for process in nvml.nvmlDeviceGetComputeRunningProcesses(handle):
                    by_pid[process.pid] = by_pid.get(process.pid, 0) + int(process.usedGpuMemory or 0)
        return by_pid, total


def machine_line() -> str:
    """Processor, cores and GPU of this machine in one line."""
    cores = len(os.sched_getaffinity(0))
    return f"{_processor()} · {cores} core{'s' if cores != 1 else ''} · {_gpu_names() or 'no GPU'}"


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "CPU"
    match = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return re.sub(r"\((R|TM)\)|\bCPU\b|\s+@.*", "", match[1]).replace("  ", " ").strip() if match else "CPU"


def _gpu_names() -> str:
    with _nvml() as nvml:
        if nvml is None:
            return ""
        names = [nvml.nvmlDeviceGetName(nvml.nvmlDeviceGetHandleByIndex(i)) for i in range(nvml.nvmlDeviceGetCount())]
        return ", ".join(name.decode() if isinstance(name, bytes) else name for name in names)


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
        return self._readings.get(model_name, MemoryReading(text="not read yet"))

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            if self._names:
                self._readings = memory_by_model(self._url, self._metrics_url, self._names)
            self._wake.wait(INTERVAL_S)
