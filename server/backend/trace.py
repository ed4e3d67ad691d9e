"""Where an execution's time goes, stage by stage: a sample of them for Triton's statistics, all of them for the log."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

VARIABLE = "PHOTOFINISH_TRACE"
"""Environment variable: when set, every execution is timed and the log gets the means."""
WINDOW = 200
"""Executions per line of the log."""
SAMPLED = 16
"""One execution in so many is timed: waiting for each stage by itself costs some 10 µs."""


class StageTimes:
    """Adds up the time between marks. `wait` comes before each mark, so that asynchronous work counts where it is.

    latest_ns: the stages of the last execution that was timed.
    """

    def __init__(self, name: str, wait: Callable[[], None]) -> None:
        self.latest_ns: dict[str, int] = {}
        self._name = name
        self._wait = wait
        self._writes = bool(os.environ.get(VARIABLE))
        self._is_timed = False
        self._begun_ns = 0
        self._runs = 0
        self._spent_ns: dict[str, int] = {}

    def is_next_timed(self) -> bool:
        """Whether the next execution is one of those that are timed."""
        return self._writes or self._runs % SAMPLED == 0

    def begin(self) -> bool:
        """An execution begins; whether it is timed, so that nobody need call for the others."""
        self._is_timed = self.is_next_timed()
        self._runs += 1
        if self._is_timed:
            self._begun_ns = time.perf_counter_ns()
        return self._is_timed

    def mark(self, stage: str) -> None:
        """The stage that ends here."""
        if not self._is_timed:
            return
        self._wait()
        now_ns = time.perf_counter_ns()
        self.latest_ns[stage] = now_ns - self._begun_ns
        self._begun_ns = now_ns

    def end(self) -> None:
        """An execution ends; every WINDOW of them a line with the mean microseconds is written."""
        if not self._writes:
            return
        for stage, spent in self.latest_ns.items():
            self._spent_ns[stage] = self._spent_ns.get(stage, 0) + spent
        if self._runs % WINDOW == 0:
            means = " ".join(f"{stage}={spent / WINDOW / 1000:.1f}" for stage, spent in self._spent_ns.items())
            sys.stderr.write(f"photofinish-trace {self._name} us {means}\n")
            self._spent_ns.clear()
