"""Turns on a machine that both sides share: one side works at a time, and both get the same time.

Two models on the same cores starve each other, and not evenly: measured at once, their rates say more about the
scheduler than about the models. Here each side works alone, one frame at a time, and is measured over its own turns.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from photofinish.client.ui.processes.child import ChildLink

TurnMode = Literal["auto", "on", "off"]
"""auto: where both models run on the CPU, and share its cores."""
TURN_LIMIT_NS = 5_000_000_000
"""A side that holds its turn longer has lost it: its server hangs, or it does."""

_ASK_AGAIN_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnRequest:
    """spent_ns: the working time of the turn that ends, None when none does; asks: whether another is wanted."""

    spent_ns: int | None = None
    asks: bool = True


@dataclass(slots=True, kw_only=True)
class _Seat:
    """What the keeper knows of one side. grant: how to tell it that its turn has come, None while it does not wait."""

    spent_ns: int = 0
    grant: Callable[[], None] | None = None


class TurnKeeper:
    """Gives the turn to the waiting side that has worked for less time. Called from the threads that hear the sides.

    A side that comes back has no claim on the time it was away. A turn is never kept for a side that does not wait.
    """

    def __init__(self, *, limit_ns: int = TURN_LIMIT_NS, clock: Callable[[], int] = time.perf_counter_ns) -> None:
        """limit_ns: how long a side may hold its turn before the other gets it all the same."""
        self._limit_ns = limit_ns
        self._clock = clock
        self._seats: dict[str, _Seat] = {}
        self._holder: str | None = None
        self._given_ns = 0
        self._lock = threading.Lock()

    def hear(self, side: str, request: TurnRequest, grant: Callable[[], None]) -> None:
        """Take a side's request; `grant` is called once for it, now or later. Asking again while waiting is allowed."""
        with self._lock:
            seat = self._seats.setdefault(side, _Seat())
            if request.spent_ns is not None:
                seat.spent_ns += min(request.spent_ns, self._limit_ns)
                if self._holder == side:
                    self._holder = None
            if request.asks and self._holder != side:
                if request.spent_ns is None and seat.grant is None:
                    seat.spent_ns = max(other.spent_ns for other in self._seats.values())
                seat.grant = grant
            self._give()

    def leave(self, side: str) -> None:
        """The side is gone: it neither waits nor holds the turn."""
        with self._lock:
            self._seats.setdefault(side, _Seat()).grant = None
            if self._holder == side:
                self._holder = None
            self._give()

    def _give(self) -> None:
        if self._holder is not None and self._clock() - self._given_ns < self._limit_ns:
            return
        waiting = {side: seat for side, seat in self._seats.items() if seat.grant is not None}
        if not waiting:
            return
        side = min(waiting, key=lambda name: waiting[name].spent_ns)
        grant, waiting[side].grant = waiting[side].grant, None
        self._holder, self._given_ns = side, self._clock()
        if grant is not None:
            grant()


class TurnSeat:
    """One side's place at the keeper, as the supervision of its process sees it."""

    def __init__(self, keeper: TurnKeeper, side: str) -> None:
        self._keeper = keeper
        self._side = side

    def hear(self, wish: TurnRequest, answer: Callable[[object], None]) -> None:
        """Pass the side's request on."""
        self._keeper.hear(self._side, wish, lambda: answer(True))

    def end(self) -> None:
        """Give up what the side held."""
        self._keeper.leave(self._side)


class TurnTaker:
    """A side's end: asks for turns over its link and waits for them."""

    def __init__(self, link: ChildLink) -> None:
        """link: the way to the keeper."""
        self._link = link
        self._has_asked = False

    def take(self) -> bool:
        """Wait for the turn; False when the work shall stop instead."""
        while not self._link.is_stopping:
            if self._has_asked and self._link.answer(_ASK_AGAIN_S) is not None:
                self._has_asked = False
                return True
            self._link.request(TurnRequest())
            self._has_asked = True
        return False

    def give_back(self, spent_ns: int, *, asks: bool) -> None:
        """End the turn after `spent_ns` of work. asks: ask for the next at once, which is what keeps turns fair."""
        self._link.request(TurnRequest(spent_ns=spent_ns, asks=asks))
        self._has_asked = asks
