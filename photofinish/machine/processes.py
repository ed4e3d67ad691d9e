"""The processes of this machine and the processor time they use, as /proc tells them."""

from __future__ import annotations

import os
import re
import resource
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

PROC = Path("/proc")
MODEL_PROGRAMS = ("triton_python_backend_stub", "photofinish_backend/lane/process.py")
"""How the programs end in which the embedded server runs its models; without the bridge Triton's own stub does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessTable:
    """All processes at one moment. parents, ticks (of processor time), names (of the program): by process id."""

    parents: Mapping[int, int]
    ticks: Mapping[int, int]
    names: Mapping[int, str] = field(default_factory=dict)

    def with_descendants(self, pids: Iterable[int]) -> set[int]:
        """Those of `pids` that live, and everything they started."""
        family = {pid for pid in pids if pid in self.parents}
        grown = True
        while grown:
            children = {pid for pid, parent in self.parents.items() if parent in family} - family
            family |= children
            grown = bool(children)
        return family


def process_table(proc: Path = PROC) -> ProcessTable:
    """The processes now; one that ends while it is read is left out."""
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    names: dict[int, str] = {}
    for folder in proc.glob("[0-9]*"):
        try:
            head, _, tail = (folder / "stat").read_text(errors="replace").rpartition(")")
            words = tail.split()
            parent, used = int(words[1]), int(words[11]) + int(words[12])
        except (OSError, ValueError, IndexError):
            continue
        pid = int(folder.name)
        parents[pid], ticks[pid] = parent, used
        names[pid] = "".join(letter for letter in head.partition("(")[2] if letter.isprintable())
    return ProcessTable(parents=parents, ticks=ticks, names=names)


def busiest_programs(
    before: ProcessTable, after: ProcessTable, own: Iterable[int], seconds: float, *, most: int = 3, least: float = 0.05
) -> tuple[tuple[str, float], ...]:
    """Names of the programs that used the processor most between two moments, and the cores each used.

    own: processes that do not count, with all they started. Only those that lived at both moments are seen, at most
    `most` programs that used `least` cores or more.
    """
    ours = after.with_descendants(own)
    used: dict[str, float] = {}
    for pid in before.ticks.keys() & after.ticks.keys() - ours:
        name = after.names.get(pid, "?")
        used[name] = used.get(name, 0.0) + after.ticks[pid] - before.ticks[pid]
    cores = {name: ticks / ticks_per_s() / max(seconds, 1e-9) for name, ticks in used.items()}
    ordered = sorted((pair for pair in cores.items() if pair[1] >= least), key=lambda pair: -pair[1])
    return tuple(ordered[:most])


def listed_programs(programs: Iterable[tuple[str, float]]) -> str:
    """`python 1.2, node 0.4`: names with the cores they used."""
    return ", ".join(f"{name} {cores:.1f}" for name, cores in programs)


def ticks_per_s() -> int:
    """Ticks of processor time in a second."""
    return os.sysconf("SC_CLK_TCK")


def busy_ticks(proc: Path = PROC) -> int | None:
    """Processor time that all processes of this machine have used so far; None where it cannot be read."""
    try:
        total = [int(word) for word in (proc / "stat").read_text().splitlines()[0].split()[1:9]]
        return sum(total) - total[3] - total[4]  # idle, and idle while a disk worked
    except (OSError, ValueError, IndexError):
        return None


def is_alive(pid: int) -> bool:
    """Whether a process of that id lives, whoever's it is; /proc may hide the processes of others."""
    try:
        os.kill(pid, 0)  # sends nothing
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's, and alive
        pass
    return True


def model_processes(model_names: Iterable[str], proc: Path = PROC) -> dict[str, list[int]]:
    """Ids of the processes in which an embedded server runs each model; it names them `<model>_<n>_<m>`."""
    wanted = {name: re.compile(rf"{re.escape(name)}_\d+(_\d+)?") for name in model_names}
    found: dict[str, list[int]] = {name: [] for name in wanted}
    for folder in proc.glob("[0-9]*"):
        words = command_line(int(folder.name), proc)
        if not any(word.endswith(MODEL_PROGRAMS) for word in words[:3]):
            continue
        for name, pattern in wanted.items():
            if any(pattern.fullmatch(word) for word in words[1:]):
                found[name].append(int(folder.name))
    return found


def command_line(pid: int, proc: Path = PROC) -> list[str]:
    """The words a process was started with; none where it has ended or is another user's."""
    try:
        return (proc / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def environment_of(pid: int, proc: Path = PROC) -> dict[str, str]:
    """The variables a process was started with; none where it has ended or is another user's."""
    try:
        words = (proc / str(pid) / "environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return {}
    return {name: value for name, is_set, value in (word.partition("=") for word in words) if is_set}


class ProcessTree:
    """A process, or several, and everything they started, read anew at each call."""

    def __init__(self, *roots: int) -> None:
        self.roots = roots

    def pids(self) -> set[int]:
        """The processes that live now."""
        return process_table().with_descendants(self.roots)

    def pids_of_model(self, model: str) -> set[int]:
        """The processes whose command line names the model: the embedded server's model processes."""
        return {
            pid
            for pid in self.pids()
            if pid not in self.roots and any(_names_model(word, model) for word in command_line(pid))
        }

    def cpu_s(self) -> float:
        """Processor seconds that all of them have used so far."""
        table = process_table()
        return sum(table.ticks[pid] for pid in table.with_descendants(self.roots)) / ticks_per_s()


def own_cpu_s() -> float:
    """Processor seconds this process and the programs it ran to their end, such as perf_analyzer, have used so far."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


def machine_cpu_s() -> float:
    """Processor seconds that all processes of this machine have used so far; 0 where nobody tells."""
    return (busy_ticks() or 0) / ticks_per_s()


class CpuMeter:
    """Cores in use between its making and `cores`."""

    def __init__(self, cpu_s: Callable[[], float], clock: Callable[[], float] = time.perf_counter) -> None:
        self._cpu_s = cpu_s
        self._clock = clock
        self._began = (clock(), cpu_s())

    def cores(self) -> float:
        """Processor seconds per second since the meter was made."""
        wall_s = self._clock() - self._began[0]
        return max(0.0, (self._cpu_s() - self._began[1]) / wall_s) if wall_s > 0 else 0.0


def _names_model(word: str, model: str) -> bool:
    """Whether a word of a command line is the model's folder or one of its instances, `<model>_0_0`."""
    if not model:
        return False
    is_instance = re.fullmatch(rf"{re.escape(model)}(_\d+)*", word) is not None
    return is_instance or f"/{model}/" in word or word.endswith(f"/{model}")
