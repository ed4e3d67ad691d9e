"""Load: a fixed number in flight, or a planned arrival schedule. The sender is a plain callable."""

from __future__ import annotations

import itertools
import select
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from photofinish.errors import InferenceError, ServerUnavailableError
from photofinish.perf.record.samples import NS_PER_S, Samples

Sender = Callable[[int], None]
"""Sends request `index` and returns when its result is there; raises InferenceError when it brought none."""
Arrivals = Literal["paced", "poisson"]

MAX_ERRORS_IN_A_ROW = 20
"""A block ends when this many requests in a row failed: the server is gone, not slow."""
_SPIN_NS = 1_000_000
"""The last part of a wait is spun: a sleeping thread wakes 60 us late, on a virtual machine 0.2 ms and more."""


@dataclass(slots=True)
class _SentRequest:
    scheduled_ns: int
    sent_ns: int
    done_ns: int
    backlogged: bool
    error: str | None


class _Workers:
    """Threads that work until they are told to stop; the first unexpected exception reaches the owner.

    The clock starts when all of them stand ready, so that a busy machine cannot eat a block by starting them late.
    """

    def __init__(self, count: int, work: Callable[[_Workers], None], clock: Callable[[], int]) -> None:
        self.stopping = threading.Event()
        self.begin_ns = 0
        self.requests: list[_SentRequest] = []
        self._errors_in_a_row = 0
        self._failure: BaseException | None = None
        self._work = work
        self._clock = clock
        self._all_started = threading.Barrier(count, action=self._begin)
        self._threads = [threading.Thread(target=self._run, name=f"sender-{n}", daemon=True) for n in range(count)]

    def run(self) -> None:
        """Start all, wait for all. Ctrl-C stops the senders before it goes on."""
        try:
            for thread in self._threads:
                thread.start()
            for thread in self._threads:
                thread.join()
        finally:
            self.stopping.set()
            self._all_started.abort()
            for thread in self._threads:
                if thread.ident is not None:
                    thread.join()
        if self._failure is not None:
            raise self._failure

    def send(self, sender: Sender, index: int, scheduled_ns: int, backlogged: bool) -> int:
        """Send one request and keep its times; returns when it was done."""
        error: InferenceError | None = None
        sent_ns = self._clock()
        try:
            sender(index)
        except InferenceError as exc:
            error = exc
        done_ns = self._clock()
        self.requests.append(
            _SentRequest(scheduled_ns, sent_ns, done_ns, backlogged, type(error).__name__ if error else None)
        )
        self._errors_in_a_row = self._errors_in_a_row + 1 if error else 0
        if error and (isinstance(error, ServerUnavailableError) or self._errors_in_a_row >= MAX_ERRORS_IN_A_ROW):
            raise error
        return done_ns

    def _begin(self) -> None:
        self.begin_ns = self._clock()

    def _run(self) -> None:
        try:
            self._all_started.wait()
            self._work(self)
        except threading.BrokenBarrierError:
            return
        except BaseException as exc:
            self._failure = self._failure or exc
            self.stopping.set()


def run_closed_loop(
    sender: Sender,
    *,
    concurrency: int = 1,
    seconds: float | None = None,
    requests: int | None = None,
    frames_per_request: int = 1,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> Samples:
    """Keep `concurrency` requests in flight for `seconds`, or until `requests` were sent, whichever comes first.

    A request is due the moment its thread has the previous result, so the harness's own cost is in the latency.
    """
    if concurrency < 1 or (seconds is None and requests is None):
        raise ValueError(f"need concurrency of at least 1 and seconds or requests, got {concurrency}")
    length_ns = int((seconds if seconds is not None else 1e9) * NS_PER_S)
    indices = iter(range(requests)) if requests is not None else itertools.count()

    def work(workers: _Workers) -> None:
        due_ns = workers.begin_ns
        while due_ns < workers.begin_ns + length_ns and not workers.stopping.is_set():
            index = next(indices, None)
            if index is None:
                return
            due_ns = workers.send(sender, index, due_ns, False)

    workers = _Workers(concurrency, work, clock)
    workers.run()
    return _samples(workers.requests, workers.begin_ns, frames_per_request)


def run_open_loop(
    sender: Sender,
    offsets_ns: Sequence[int],
    *,
    max_in_flight: int = 64,
    frames_per_request: int = 1,
    seconds: float = 0.0,
    clock: Callable[[], int] = time.perf_counter_ns,
    sleep: Callable[[float], None] = time.sleep,
) -> Samples:
    """Send request i at `offsets_ns[i]` after the start, whether or not earlier ones have returned.

    A request that is due while all `max_in_flight` senders are busy waits, and its wait counts as latency. seconds:
    the schedule's own length, which throughput is taken over unless the last result came later. The pause after the
    last request is kept too: what follows comes no sooner, and CPU and GPU use are means over the whole of it.
    """
    indices = itertools.count()

    def work(workers: _Workers) -> None:
        while not workers.stopping.is_set():
            index = next(indices)
            if index >= len(offsets_ns):
                return
            due_ns = workers.begin_ns + offsets_ns[index]
            backlogged = clock() > due_ns
            if not backlogged and not _wait_until(due_ns, workers.stopping, clock, sleep):
                return
            workers.send(sender, index, due_ns, backlogged)

    workers = _Workers(min(max_in_flight, max(1, len(offsets_ns))), work, clock)
    workers.run()
    min_window_ns = int(seconds * NS_PER_S)
    _wait_until(workers.begin_ns + min_window_ns, threading.Event(), clock, sleep)
    return _samples(workers.requests, workers.begin_ns, frames_per_request, min_window_ns)


def arrival_offsets(arrivals: Arrivals, *, rate_rps: float, seconds: float, seed: int = 0) -> tuple[int, ...]:
    """When requests are due, in nanoseconds from the start: evenly paced, or a Poisson process.

    As many whole requests as `seconds` hold, at least one. The schedule's own length is their number over the rate.
    """
    if rate_rps <= 0 or seconds <= 0:
        raise ValueError(f"rate_rps and seconds must be positive, got {rate_rps} and {seconds}")
    count = max(1, int(rate_rps * seconds))
    if arrivals == "paced":
        return tuple(int(index * NS_PER_S / rate_rps) for index in range(count))
    generator = np.random.default_rng(seed)
    # Given their number, the arrivals of a Poisson process are uniform: both sides get equally many requests.
    times = np.sort(generator.uniform(0, count / rate_rps * NS_PER_S, count))
    return tuple(int(time_ns) for time_ns in times)


def _wait_until(
    due_ns: int, stopping: threading.Event, clock: Callable[[], int], sleep: Callable[[float], None]
) -> bool:
    """Wait; False when told to stop meanwhile."""
    while (left_ns := due_ns - clock()) > 0:
        if stopping.is_set():
            return False
        if left_ns > _SPIN_NS:
            sleep(min(left_ns - _SPIN_NS, NS_PER_S // 10) / NS_PER_S)
        else:
            select.select((), (), (), 0)  # 0.4 us, in which threads whose requests are under way get the interpreter
    return True


def _samples(
    requests: Sequence[_SentRequest], begin_ns: int, frames_per_request: int, min_window_ns: int = 0
) -> Samples:
    ordered = sorted(requests, key=lambda request: request.scheduled_ns)
    errors = Counter(request.error for request in ordered if request.error)
    return Samples(
        scheduled_ns=tuple(request.scheduled_ns - begin_ns for request in ordered),
        sent_ns=tuple(request.sent_ns - begin_ns for request in ordered),
        done_ns=tuple(request.done_ns - begin_ns for request in ordered),
        window_ns=max(min_window_ns, max((request.done_ns for request in ordered), default=begin_ns) - begin_ns),
        failed=tuple(index for index, request in enumerate(ordered) if request.error),
        backlogged=tuple(index for index, request in enumerate(ordered) if request.backlogged),
        error_counts=dict(errors),
        frames_per_request=frames_per_request,
    )
