"""What hears of results: never in the way of frames, and with a count of what its receiver was too slow for."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, Protocol

from photofinish.client.cameras.values.event import LineCrossing, ObjectEvent
from photofinish.client.cameras.values.outcome import Inferred
from photofinish.client.cameras.values.status import CellStatus

MAX_WAITING = 10_000


class Output(Protocol):
    """A receiver of results. All calls come from the owner's loop and must return at once.

    name: what it is called in status and metrics. lost: events that it had to leave out so far.
    """

    name: str

    @property
    def lost(self) -> int:
        """Events left out so far."""
        ...

    def on_inferred(self, result: Inferred) -> None:
        """A frame's boxes are there."""

    def on_status(self, status: CellStatus) -> None:
        """The whole cell, once a second."""

    def close(self) -> None:
        """The run ends; give what waits a moment, then leave."""


class EventReceiver(Output, Protocol):
    """An output that hears of objects and lines too, from any thread, in the order in which it all came about."""

    def on_event(self, event: ObjectEvent | LineCrossing) -> None:
        """An object came, changed or went, or crossed a line."""


class WaitingEvents:
    """A bounded queue with a thread that hands its events to a function that may block. A full queue loses the newest.

    handle gets what waits, `at_once` events at most. When it raises they are lost; on_failure hears of the first time
    of a row: OSError is the receiver's trouble, anything else is a fault of ours and says its kind.
    """

    def __init__(
        self,
        name: str,
        handle: Callable[[list[Any]], None],
        *,
        limit: int = MAX_WAITING,
        at_once: int = 1,
        on_failure: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.lost = 0
        self._name = name
        self._handle = handle
        self._at_once = at_once
        self._on_failure = on_failure
        self._queue: queue.Queue[Any] = queue.Queue(limit)
        self._in_hand = 0
        self._lock = threading.Lock()
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"output-{name}", daemon=True)
        self._thread.start()

    @property
    def is_closing(self) -> threading.Event:
        """Set when the run ends: what waits between two tries waits for this."""
        return self._is_closing

    def put(self, event: object) -> bool:
        """Hand over an event, or count it as lost; whether it was taken."""
        try:
            self._queue.put_nowait(event)
        except queue.Full:
            self.lose(1)
            return False
        return True

    def close(self, timeout_s: float = 1.0) -> bool:
        """Handle what waits, for so long at most; what is left, and what is still in hand, is lost.

        True when the thread has ended, so that what belonged to it may be used.
        """
        self._is_closing.set()
        self._thread.join(timeout_s)
        left = len(self._taken(self._queue.maxsize))
        with self._lock:
            self.lost += left + self._in_hand
            self._in_hand = 0
        return not self._thread.is_alive()

    def _run(self) -> None:
        is_failing = False
        while not (self._is_closing.is_set() and self._queue.empty()):
            try:
                first = self._queue.get(timeout=0.1)
            except queue.Empty:
                continue
            events = [first, *self._taken(self._at_once - 1)]
            with self._lock:
                self._in_hand = len(events)
            try:
                self._handle(events)
                is_failing = False
            except Exception as exc:  # handed to the owner; the thread goes on with what comes next
                with self._lock:
                    self.lost += self._in_hand
                if not is_failing:
                    self._on_failure(f"{self._name}: events are lost: {_reason(exc)}")
                is_failing = True
            with self._lock:
                self._in_hand = 0

    def _taken(self, most: int) -> list[Any]:
        """What waits now, so many at most."""
        events: list[Any] = []
        while len(events) < most:
            try:
                events.append(self._queue.get_nowait())
            except queue.Empty:
                break
        return events

    def lose(self, count: int) -> None:
        """Count events that were lost on their way here."""
        with self._lock:
            self.lost += count


def _reason(exc: Exception) -> str:
    if isinstance(exc, OSError):
        return exc.strerror or str(exc)
    return f"{type(exc).__name__}: {exc}; please report it"
