"""Threads that work on frames side by side and hand the outcomes over in frame order."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Generic, TypeVar

from photofinish.frame import Frame

Result = TypeVar("Result")


class OrderedWorkers(Generic[Result]):
    """`count` threads that each take a frame, work on it, and go for the next.

    At most `count` frames are in work or finished and not yet fetched, so that a slow caller slows the work down.
    take gives the next frame, None at the end; work turns it into a result. What either raises becomes the outcome.
    """

    def __init__(self, take: Callable[[], Frame | None], work: Callable[[Frame], Result], *, count: int) -> None:
        self._take = take
        self._work = work
        self._taking = threading.Lock()
        self._permits = threading.Semaphore(count)
        self._stopping = threading.Event()
        self._tickets: queue.SimpleQueue[tuple[Frame | None, Future[Result]] | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, name=f"photofinish-worker-{index}", daemon=True)
            for index in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def outcomes(self) -> Iterator[tuple[Frame | None, Result | BaseException]]:
        """Each frame with its result or what was raised, in frame order; ends after what `take` raised, frame None."""
        while (ticket := self._tickets.get()) is not None:
            frame, future = ticket
            failure = future.exception()
            self._permits.release()
            yield frame, failure if failure is not None else future.result()
            if frame is None:
                return

    def stop(self) -> None:
        """Let no thread take another frame. A `take` that waits must be woken by its owner."""
        self._stopping.set()
        for _ in self._threads:
            self._permits.release()

    def join(self) -> list[Frame]:
        """Wait for the threads and give the frames whose outcome was not fetched. `work` must have a deadline."""
        for thread in self._threads:
            thread.join()
        left = []
        while not self._tickets.empty():
            ticket = self._tickets.get()
            if ticket is not None and ticket[0] is not None:
                left.append(ticket[0])
        return left

    def _run(self) -> None:
        while True:
            self._permits.acquire()
            with self._taking:
                if self._stopping.is_set():
                    return
                ticket = self._take_ticket()
                self._tickets.put(ticket)
                if ticket is None or (frame := ticket[0]) is None:
                    self._stopping.set()
                    self._permits.release()
                    return
            try:
                ticket[1].set_result(self._work(frame))
            except Exception as exc:  # handed to the caller of outcomes()
                ticket[1].set_exception(exc)

    def _take_ticket(self) -> tuple[Frame | None, Future[Result]] | None:
        future: Future[Result] = Future()
        try:
            frame = self._take()
        except Exception as exc:  # handed to the caller of outcomes()
            future.set_exception(exc)
            return None, future
        return None if frame is None else (frame, future)
