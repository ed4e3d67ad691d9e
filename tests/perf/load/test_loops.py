"""The load generator: what it records, what it cannot hide, what stops it."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from photofinish.errors import RequestRejectedError, RequestTimeoutError, ServerUnavailableError
from photofinish.percentiles import nearest_rank
from photofinish.perf.load.loops import MAX_ERRORS_IN_A_ROW, arrival_offsets, run_closed_loop, run_open_loop
from photofinish.perf.record.samples import NS_PER_MS, NS_PER_S, Samples


class Gate:
    """A server that answers in `work_s`, one request at a time, and stalls for `stall_s` at given moments."""

    def __init__(self, work_s: float, stall_at_s: tuple[float, ...], stall_s: float) -> None:
        self._work_s = work_s
        self._stalls = sorted(stall_at_s)
        self._stall_s = stall_s
        self._lock = threading.Lock()
        self._began = time.perf_counter()

    def __call__(self, index: int) -> None:
        with self._lock:
            if self._stalls and time.perf_counter() - self._began >= self._stalls[0]:
                self._stalls.pop(0)
                time.sleep(self._stall_s)
            time.sleep(self._work_s)


def test_closed_loop_keeps_the_number_in_flight() -> None:
    in_flight, peak, lock = 0, 0, threading.Lock()

    def sender(index: int) -> None:
        nonlocal in_flight, peak
        with lock:
            in_flight += 1
            peak = max(peak, in_flight)
        time.sleep(0.005)
        with lock:
            in_flight -= 1

    samples = run_closed_loop(sender, concurrency=4, requests=40)
    assert peak == 4
    assert samples.request_count == samples.completed_count == 40
    assert samples.latency_ns.min() >= 5 * NS_PER_MS
    assert samples.frames_per_s == pytest.approx(40 * NS_PER_S / samples.window_ns)


def test_a_block_is_never_empty() -> None:
    """However short it is and however late its threads start: the clock begins when they stand ready."""
    for concurrency in (1, 16):
        assert run_closed_loop(lambda index: None, concurrency=concurrency, seconds=1e-9).request_count == concurrency


def test_closed_loop_ends_with_the_time() -> None:
    samples = run_closed_loop(lambda index: time.sleep(0.01), seconds=0.2)
    assert 0.2 <= samples.window_ns / NS_PER_S < 5
    assert 2 <= samples.request_count <= 21


def test_a_stall_shows_in_our_p99_and_is_missed_by_a_closed_loop_timed_from_the_send() -> None:
    """500 ms, once in 4 s; 170 requests a second are due, so about 85 wait in the stall."""
    seconds, rate = 4.0, 170.0
    offsets = arrival_offsets("paced", rate_rps=rate, seconds=seconds)
    with ThreadPoolExecutor(2) as pool:
        opening = pool.submit(run_open_loop, Gate(0.002, (0.5,), 0.5), offsets, max_in_flight=80)
        closing = pool.submit(run_closed_loop, Gate(0.008, (0.5,), 0.5), concurrency=1, seconds=seconds)
        opened, closed = opening.result(), closing.result()
    assert opened.request_count >= 662
    assert closed.request_count >= 102  # a stall is then less than one in a hundred, also on a busy machine
    ours_ms = nearest_rank(opened.latency_ns, 0.99) / NS_PER_MS
    closed_ms = nearest_rank(closed.send_to_done_ns, 0.99) / NS_PER_MS
    assert ours_ms > 400
    assert closed_ms < 200


def test_latency_runs_from_the_schedule_not_from_the_send() -> None:
    # One sender only, each request takes 20 ms, due every 10 ms: the k-th one waits k * 10 ms.
    samples = run_open_loop(
        lambda index: time.sleep(0.02), [index * 10 * NS_PER_MS for index in range(10)], max_in_flight=1
    )
    assert samples.latency_ns[-1] >= 105 * NS_PER_MS
    waited_ns = np.array(samples.latency_ns) - np.array(samples.send_to_done_ns)
    assert np.median(waited_ns) >= 40 * NS_PER_MS, "a send begins behind the wait, which the later ones have most of"
    assert len(samples.backlogged) >= 8


def test_a_paced_block_lasts_as_long_as_its_schedule() -> None:
    """Else the next arm's first frame comes without the pause that the rate leaves, and CPU use is a mean over less."""
    began = time.perf_counter()
    samples = run_open_loop(lambda index: None, (0, 100 * NS_PER_MS), seconds=0.2)
    assert time.perf_counter() - began >= 0.2
    assert samples.window_ns >= 200 * NS_PER_MS


def test_errors_are_counted_beside_latency() -> None:
    def sender(index: int) -> None:
        if index % 4 == 0:
            raise RequestTimeoutError("too slow")
        time.sleep(0.001)

    samples = run_closed_loop(sender, requests=40)
    assert samples.error_counts == {"RequestTimeoutError": 10}
    assert samples.completed_count == len(samples.latency_ns) == 30
    assert samples.latency_ns.min() >= NS_PER_MS


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_vanished_server_ends_the_block_at_once(concurrency: int) -> None:
    def sender(index: int) -> None:
        if index > 5:
            raise ServerUnavailableError("gone")

    with pytest.raises(ServerUnavailableError, match="gone"):
        run_closed_loop(sender, concurrency=concurrency, seconds=30)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("sender-")]


def test_a_server_that_refuses_everything_ends_the_block() -> None:
    calls = []

    def sender(index: int) -> None:
        calls.append(index)
        raise RequestRejectedError("wrong shape")

    with pytest.raises(RequestRejectedError):
        run_open_loop(sender, arrival_offsets("paced", rate_rps=1000, seconds=30), max_in_flight=1)
    assert len(calls) == MAX_ERRORS_IN_A_ROW


def test_a_bug_in_the_sender_reaches_the_owner() -> None:
    with pytest.raises(ZeroDivisionError):
        run_closed_loop(lambda index: 1 // 0, requests=5)  # type: ignore[arg-type,return-value]


def test_schedules_are_seeded_and_equally_long() -> None:
    poisson = arrival_offsets("poisson", rate_rps=50, seconds=20, seed=3)
    assert poisson == arrival_offsets("poisson", rate_rps=50, seconds=20, seed=3)
    assert poisson != arrival_offsets("poisson", rate_rps=50, seconds=20, seed=4)
    assert len(poisson) == len(arrival_offsets("paced", rate_rps=50, seconds=20)) == 1000
    gaps = np.diff(poisson)
    assert gaps.mean() == pytest.approx(NS_PER_S / 50, rel=0.05)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.15)
    assert arrival_offsets("paced", rate_rps=4, seconds=1) == (0, 250 * NS_PER_MS, 500 * NS_PER_MS, 750 * NS_PER_MS)


def test_an_empty_block_is_zero_not_an_error() -> None:
    samples = Samples(scheduled_ns=(), sent_ns=(), done_ns=(), window_ns=0)
    assert samples.frames_per_s == 0
    assert not len(samples.latency_ns)
