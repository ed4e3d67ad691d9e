"""A GPU that never waits for the host: the next execution is copied and started behind the one that runs."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import NoReturn

from ..batches import Arrays, Part, lie_in_place, run_each
from ..gpu_engine import Begun, GpuEngine
from ..model import ConfiguredModel
from .end import LaneEnd, beside_refused, good_parts


class Flight:
    """One execution between its requests and its answers."""

    def __init__(self, model: ConfiguredModel, engine: GpuEngine, slot: int, parts: Sequence[Part | Exception]) -> None:
        self._model = model
        self._engine = engine
        self._slot = slot
        self._parts = parts
        self._begun: Begun | None = None
        self._found: Sequence[Arrays | Exception] | None = None
        self.copies_ns = (0, 0)

    def begin(self, *, is_alone: bool) -> None:
        """Start it behind whatever runs; at once and to its end where it is a sample of where the time goes."""
        good = good_parts(self._parts)
        times = self._engine.times
        must_wait = len(good) < len(self._parts) and lie_in_place(good)
        if not good or must_wait or (is_alone and times.is_next_timed()):
            self._run_each(good)
        else:
            if is_alone:
                times.begin()  # it counts, and is none of those that are timed
            try:
                self._begun = self._engine.begin(good, self._slot, is_alone=is_alone)
            except Exception:  # whatever the engine raises: one request may have caused it, the others go without it
                self._run_each(good)
        if is_alone:
            self.copies_ns = times.latest_ns.get("input", 0), times.latest_ns.get("output", 0)

    def is_done(self) -> bool:
        """Whether the outcomes are there."""
        if self._begun is None:
            return True
        try:
            if not self._engine.batch.is_fetched(self._slot):
                return False
            self._found = self._engine.batch.fetched(self._begun.sizes, self._slot)
        except Exception:  # the same
            self._run_each(good_parts(self._parts))
        self._begun = None
        return True

    def outcomes(self) -> Sequence[Arrays | Exception]:
        """The outputs of each request, or the error that it gets."""
        return beside_refused(self._parts, self._found or [])

    def _run_each(self, good: Sequence[Part]) -> None:
        """To its end; what runs before it ends first, and keeps its outputs."""
        has_gaps = len(good) < len(self._parts)
        self._found = run_each(good, self._model, partial(self._engine.run, slot=self._slot), has_gaps=has_gaps)


def serve_ahead(lane: LaneEnd, model: ConfiguredModel, engine: GpuEngine) -> NoReturn:
    """Answer executions in order, for as long as the process lives; while one runs the next one is made ready."""
    flights: deque[Flight] = deque()
    while True:
        if not flights or (len(flights) < lane.slots and lane.has_next()):
            parts = lane.wait()
            flight = Flight(model, engine, lane.latest_slot, parts)
            flight.begin(is_alone=not flights)
            flights.append(flight)
        elif flights[0].is_done():
            flight = flights.popleft()
            lane.answer(flight.outcomes(), *flight.copies_ns)
        elif not lane.may_look:
            os.sched_yield()
