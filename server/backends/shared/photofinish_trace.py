"""Where an execution's time goes, stage by stage, in the server's log; only when PHOTOFINISH_TRACE is set.

Copied beside each model.py in the server's backend directory: imports nothing of Photofinish.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

VARIABLE = "PHOTOFINISH_TRACE"
WINDOW = 200
"""Executions per line of the log."""


class StageTimes:
    """Adds up the time between marks. `wait` comes before each mark, so that asynchronous work counts where it is."""

    def __init__(self, name: str, wait: Callable[[], None]) -> None:
        self._name = name
        self._wait = wait
        self._is_on = bool(os.environ.get(VARIABLE))
        self._begun_ns = 0
        self._runs = 0
        self._spent_ns: dict[str, int] = {}

    def begin(self) -> None:
        """An execution begins."""
        if self._is_on:
            self._begun_ns = time.perf_counter_ns()

    def mark(self, stage: str) -> None:
        """The stage that ends here."""
        if not self._is_on:
            return
        self._wait()
        now_ns = time.perf_counter_ns()
        self._spent_ns[stage] = self._spent_ns.get(stage, 0) + now_ns - self._begun_ns
        self._begun_ns = now_ns

    def end(self) -> None:
        """An execution ends; every WINDOW of them a line with the mean microseconds is written."""
        if not self._is_on:
            return
        self._runs += 1
        if self._runs == WINDOW:
            means = " ".join(f"{stage}={spent / WINDOW / 1000:.1f}" for stage, spent in self._spent_ns.items())
            sys.stderr.write(f"photofinish-trace {self._name} us {means}\n")
            self._runs = 0
            self._spent_ns.clear()
