"""Threads that work on frames side by side and hand the outcomes over in frame order."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from photofinish.frame import Frame

Result = TypeVar("Result")


class _Ticket(Generic[Result]):
    """A frame's place in the order. frame: None for what `take` raised, and for the end, which has no outcome."""

    __slots__ = ("frame", "is_done", "outcome")

    def __init__(self, frame: Frame | None, outcome: BaseException | None = None, *, is_done: bool = False) -> None:
        self.frame = frame
        self.outcome: Result | BaseException | None = outcome
        self.is_done = is_done


class OrderedWorkers(Generic[Result]):
    """`count` threads that each take a frame, work on it, and go for the next.

    At most `count` frames are in work or finished and not yet fetched, so that a slow caller slows the work down.
    take gives the next frame, None at the end; work turns it into a result. What either raises becomes the outcome.
    The caller is woken once a frame, when its outcome is there; queues of C do it, for a fraction of what futures take.
    """

    def __init__(self, take: Callable[[], Frame | None], work: Callable[[Frame], Result], *, count: int) -> None:
        self._take = take
        self._work = work
        self._taking = threading.Lock()
        self._permits: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._tickets: deque[_Ticket[Result]] = deque()
        self._finished: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(count):
            self._permits.put(None)
        self._threads = [
            threading.Thread(target=self._run, name=f"photofinish-worker-{index}", daemon=True)
            for index in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def outcomes(self) -> Iterator[tuple[Frame | None, Result | BaseException]]:
        """Each frame with its result or what was raised, in frame order; ends after what `take` raised, frame None."""
        while True:
            self._finished.get()  # once for each ticket; a later one may be done before the first
            while self._tickets and self._tickets[0].is_done:
                ticket = self._tickets.popleft()
                if ticket.frame is None:
                    if ticket.outcome is not None:
                        yield None, ticket.outcome
                    return
                self._permits.put(None)
                yield ticket.frame, ticket.outcome  # type: ignore[misc]  # done, so it has one

    def stop(self) -> None:
        """Let no thread take another frame. A `take` that waits must be woken by its owner."""
        self._stopping.set()
        for _ in self._threads:
            self._permits.put(None)

    def join(self) -> list[Frame]:
        """Wait for the threads and give the frames whose outcome was not fetched. `work` must have a deadline."""
        for thread in self._threads:
            thread.join()
        left = [ticket.frame for ticket in self._tickets if ticket.frame is not None]
        self._tickets.clear()
        return left

    def _run(self) -> None:
        while True:
            self._permits.get()
            with self._taking:
                if self._stopping.is_set():
                    return
                ticket = self._take_ticket()
                self._tickets.append(ticket)
                if ticket.frame is None:
                    self._stopping.set()
                    self._permits.put(None)
                    self._finished.put(None)
                    return
            try:
                ticket.outcome = self._work(ticket.frame)
            except Exception as exc:  # handed to the caller of outcomes()
                ticket.outcome = exc
            ticket.is_done = True
            self._finished.put(None)

    def _take_ticket(self) -> _Ticket[Result]:
        try:
            frame = self._take()
        except Exception as exc:  # handed to the caller of outcomes()
            return _Ticket(None, exc, is_done=True)
        return _Ticket(frame, is_done=frame is None)
