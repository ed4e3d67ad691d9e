"""The parts of a cell as processes: which they are, and the cores and memory that each uses."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from photofinish.client.cameras.streams.launch import StreamProcesses
from photofinish.client.cameras.values.status import CellStatus
from photofinish.machine.processes import ProcessTable, ProcessTree, ticks_per_s

PROC = Path("/proc")
_KIB = 1024


def pids_by_part(status: CellStatus, streams: StreamProcesses, server_pids: Sequence[int]) -> dict[str, list[int]]:
    """server (where ours), owner, ingest, decode, generator: the ids of their processes now."""
    server = {"server": sorted(ProcessTree(*server_pids).pids())} if server_pids else {}
    kinds = {
        kind: [pid for name, pid in status.processes.items() if pid and name.startswith(kind)]
        for kind in ("ingest", "decode")
    }
    return {**server, "owner": [os.getpid()], **kinds, "generator": streams.pids}


def cores_between(before: ProcessTable, after: ProcessTable, pids: Iterable[int], window_s: float) -> float:
    """Cores that the processes used between two moments; of one that began in between, all that it used."""
    ticks = sum(after.ticks[pid] - before.ticks.get(pid, 0) for pid in pids if pid in after.ticks)
    return ticks / ticks_per_s() / window_s


def bytes_of_processes(pids: Iterable[int], proc: Path = PROC) -> int:
    """What the processes hold together: of a page that several share, each has its part. An ended one holds nothing.

    A process of somebody else, which hides its pages, counts with what is resident.
    """
    return sum(bytes_of_process(pid, proc) for pid in pids)


def bytes_of_process(pid: int, proc: Path = PROC) -> int:
    """The proportional set size of one process, else its resident size, 0 where it has ended."""
    for name, wanted in (("smaps_rollup", "Pss:"), ("status", "VmRSS:")):
        found = _figure(proc / str(pid) / name, wanted)
        if found is not None:
            return found
    return 0


def _figure(path: Path, wanted: str) -> int | None:
    """The line `wanted  123 kB` of a file of /proc, in bytes."""
    try:
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            words = line.split()
            if len(words) >= 2 and words[0] == wanted and words[1].isdigit():
                return int(words[1]) * _KIB
    except OSError:
        return None
    return None
