"""How much of this machine's processor other programs use while the sides are measured."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from photofinish.machine.processes import (
    PROC,
    ProcessTable,
    busiest_programs,
    busy_ticks,
    listed_programs,
    model_processes,
    process_table,
    ticks_per_s,
)

INTERVAL_S = 3.0
SHARE = 0.25
"""Of the cores. A browser that shows the page on this machine stays below it on all but the smallest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    at_s: float
    busy_ticks: int
    own_ticks: Mapping[int, int]
    """By process."""
    table: ProcessTable


class OtherWork:
    """Compares the whole machine's work with that of the view, its server and their processes."""

    def __init__(
        self, model_names: Callable[[], Sequence[str]], *, proc: Path = PROC,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """model_names: the models whose backend processes belong to us, wherever the server was started."""
        self._model_names = model_names
        self._proc = proc
        self._clock = clock
        self._ticks_per_s = ticks_per_s()
        self._before: _Reading | None = None
        self._cores: float | None = None
        self._programs = ""

    def programs(self) -> str:
        """Which programs those were most, as `python 1.2, node 0.4`; "" where nobody knows."""
        return self._programs if self._cores is not None else ""

    def cores(self) -> float | None:
        """Cores that others used over the last few seconds; None when not known yet, or not knowable.

        A server whose processes cannot be told apart (a container, a C++ backend) would count as another program, and
        so would a process of ours that ended in between: it took its count with it.
        """
        before = self._before
        if before is not None and self._clock() - before.at_s < INTERVAL_S:
            return self._cores
        now = self._read()
        self._before = now
        self._cores = None
        if before is not None and now is not None and before.own_ticks.keys() <= now.own_ticks.keys():
            own = sum(ticks - before.own_ticks.get(pid, 0) for pid, ticks in now.own_ticks.items())
            ticks = now.busy_ticks - before.busy_ticks - own
            seconds = max(now.at_s - before.at_s, 1e-9)
            self._cores = max(ticks, 0) / self._ticks_per_s / seconds
            self._programs = listed_programs(busiest_programs(before.table, now.table, now.own_ticks, seconds))
        return self._cores

    def _read(self) -> _Reading | None:
        models = [pid for pids in model_processes(self._model_names(), self._proc).values() for pid in pids]
        busy = busy_ticks(self._proc)
        if busy is None or not models:
            return None
        table = process_table(self._proc)
        servers = (parent for pid in models if (parent := table.parents.get(pid, 1)) > 1)
        own = table.with_descendants({os.getpid(), *models, *servers})
        own_ticks = {pid: table.ticks[pid] for pid in own}
        return _Reading(at_s=self._clock(), busy_ticks=busy, own_ticks=own_ticks, table=table)
