"""Before anything counts: the harness's own cost is taken, the client's memory is settled, an arm is driven until warm.

glibc decides by what a process freed before whether it gives memory back to the kernel after every call: a textbook
client that sends 4.9 MB a call takes some 4,400 page faults a call in one process and none in another
(`experiments/wire_faults.py`). A measurement must not hang on that, so the client keeps its memory unless `plain` is
asked for. All sides run in this one process, so it holds for all alike.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Literal

from photofinish.percentiles import nearest_rank
from photofinish.perf.load.loops import Sender, arrival_offsets, run_closed_loop, run_open_loop
from photofinish.perf.record.record import Harness

ClientMemory = Literal["kept", "plain"]
MMAP_THRESHOLD_BYTES = 64 << 20
TRIM_THRESHOLD_BYTES = 256 << 20
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h

STEADY = 0.05
"""Two stretches in a row whose medians differ by less than this share: warm."""
MAX_STRETCHES = 8
STRETCH_S = 0.25
LEAD_IN_REQUESTS = 3
"""Per sender. On an H100 the first request after another arm's block took 1.5 times the median, the third 1.1."""
LEAD_IN_S = 0.25


def settle_client_memory(wanted: ClientMemory, on_progress: Callable[[str], None]) -> ClientMemory:
    """Make this process keep its freed memory if that is wanted; what holds from now on. Another libc: plain, and said.

    Kept stays kept until the process ends.
    """
    if wanted == "plain":
        return "plain"
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt and all(
        mallopt(name, value) == 1
        for name, value in ((_M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES), (_M_TRIM_THRESHOLD, TRIM_THRESHOLD_BYTES))
    ):
        return "kept"
    on_progress(
        "this system's C library has no mallopt, so the client's memory is left as it is: --client-memory plain"
    )
    return "plain"


def measure_harness(*, rate_rps: float = 200.0, seconds: float = 1.0) -> Harness:
    """What both kinds of load cost on this machine, now: the same load on a sender that does nothing."""
    closed = run_closed_loop(_send_nothing, seconds=seconds, requests=5000)
    offsets = arrival_offsets("paced", rate_rps=rate_rps, seconds=seconds)
    opened = run_open_loop(_send_nothing, offsets, max_in_flight=8)
    return Harness(
        closed_loop_p95_ns=int(nearest_rank(closed.latency_ns, 0.95)),
        open_loop_p95_ns=int(nearest_rank(opened.latency_ns, 0.95)),
    )


def _send_nothing(index: int) -> None:
    """Return at once."""


def warm_until_steady(sender: Sender, *, concurrency: int = 1, stretch_s: float = STRETCH_S) -> int:
    """Drive the sender in stretches until two medians agree, eight stretches at most; returns how many it took.

    What never settles is left to the verdict. A stretch in which every request failed ends it: the blocks tell why.
    """
    before_ns = 0.0
    for stretch in range(1, MAX_STRETCHES + 1):
        latency_ns = run_closed_loop(sender, concurrency=concurrency, seconds=stretch_s).latency_ns
        if not len(latency_ns):
            return stretch
        median_ns = nearest_rank(latency_ns, 0.5)
        if abs(median_ns - before_ns) < STEADY * median_ns:
            return stretch
        before_ns = median_ns
    return MAX_STRETCHES


def lead_in(sender: Sender, *, concurrency: int = 1) -> None:
    """A few requests that are not counted: caches, clocks and connections are still those of the arm before."""
    run_closed_loop(sender, concurrency=concurrency, requests=LEAD_IN_REQUESTS * concurrency, seconds=LEAD_IN_S)
