"""Before anything counts: an arm is driven until it is steady, and each of its blocks begins with a short lead-in."""

from __future__ import annotations

from photofinish.percentiles import nearest_rank
from photofinish.perf.load.loops import Sender, run_closed_loop

STEADY = 0.05
"""Two stretches in a row whose medians differ by less than this share: warm."""
MAX_STRETCHES = 8
STRETCH_S = 0.25
LEAD_IN_REQUESTS = 3
"""Per sender. On an H100 the first request after another arm's block took 1.5 times the median, the third 1.1."""
LEAD_IN_S = 0.25


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
