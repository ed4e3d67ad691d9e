"""CPU use of the client and of the server's whole process tree."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable

import psutil


class ProcessTree:
    """A process and everything it started, read anew at each call."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def pids(self) -> set[int]:
        """The processes that live now."""
        return {process.pid for process in self._processes()}

    def pids_of_model(self, model: str) -> set[int]:
        """The processes whose command line names the model: the embedded server's model processes."""
        found = set()
        for process in self._processes():
            try:
                words = process.cmdline()
            except psutil.Error:
                continue
            if process.pid != self.pid and any(_names_model(word, model) for word in words):
                found.add(process.pid)
        return found

    def cpu_s(self) -> float:
        """CPU seconds that all of them have used so far."""
        total = 0.0
        for process in self._processes():
            try:
                times = process.cpu_times()
            except psutil.Error:
                continue
            total += times.user + times.system
        return total

    def _processes(self) -> list[psutil.Process]:
        try:
            root = psutil.Process(self.pid)
            return [root, *root.children(recursive=True)]
        except psutil.Error:
            return []


def own_cpu_s() -> float:
    """CPU seconds this process and the programs it ran to their end, such as perf_analyzer, have used so far."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


def machine_cpu_s() -> float:
    """CPU seconds that all processes of this machine have used so far."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))


class CpuMeter:
    """Cores in use between its making and `cores`."""

    def __init__(self, cpu_s: Callable[[], float], clock: Callable[[], float] = time.perf_counter) -> None:
        self._cpu_s = cpu_s
        self._clock = clock
        self._began = (clock(), cpu_s())

    def cores(self) -> float:
        """CPU seconds per second since the meter was made."""
        wall_s = self._clock() - self._began[0]
        return max(0.0, (self._cpu_s() - self._began[1]) / wall_s) if wall_s > 0 else 0.0


def _names_model(word: str, model: str) -> bool:
    """Whether a word of a command line is the model's folder or one of its instances, `<model>_0_0`."""
    if not model:
        return False
    rest = word.removeprefix(model)
    is_instance = rest != word and all(part.isdigit() for part in rest.strip("_").split("_") if part)
    return is_instance or f"/{model}/" in word or word.endswith(f"/{model}")
