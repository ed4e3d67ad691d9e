"""What is driven before anything counts, and that none of it is counted."""

from __future__ import annotations

import time

from photofinish.errors import RequestTimeoutError
from photofinish.perf.load.warming import LEAD_IN_REQUESTS, MAX_STRETCHES, lead_in, warm_until_steady
from photofinish.perf.measure.comparison import contender_from_sender, run_comparison
from photofinish.perf.record.record import Arm, Load


def test_a_cold_arm_is_driven_until_two_stretches_agree() -> None:
    calls: list[int] = []

    def settles(index: int) -> None:
        calls.append(index)
        time.sleep(0.004 + 0.02 * 0.9 ** len(calls))

    stretches = warm_until_steady(settles, stretch_s=0.1)
    assert 3 <= stretches <= MAX_STRETCHES
    assert 0.02 * 0.9 ** len(calls) < 0.002  # what is left of the cold start


def test_what_never_settles_ends_and_what_fails_ends_at_once() -> None:
    calls: list[int] = []

    def grows(index: int) -> None:
        calls.append(index)
        time.sleep(0.001 * 1.3 ** min(len(calls), 12))

    def fails(index: int) -> None:
        time.sleep(0.002)
        raise RequestTimeoutError("late")

    assert warm_until_steady(grows, stretch_s=0.001) == MAX_STRETCHES
    assert warm_until_steady(fails, stretch_s=0.01) == 1


def test_the_lead_in_is_short_and_not_counted() -> None:
    calls: list[int] = []
    lead_in(calls.append, concurrency=2)
    assert len(calls) == 2 * LEAD_IN_REQUESTS
    seen: list[int] = []

    def slow_at_first(index: int) -> None:
        seen.append(index)
        time.sleep(0.03 if index == 0 and not counted() else 0.002)

    def counted() -> bool:
        """Each run of the loop numbers from 0; a block's own run follows that of its lead-in."""
        return seen[-4:-1] == [0, 1, 2]

    load = Load(mode="closed", block_s=0.05, rounds=2)
    section = run_comparison(
        [contender_from_sender(Arm(key=key, label=key, model=""), slow_at_first, load) for key in "ab"], load=load
    )
    assert len(section.blocks) == 4
    assert all(block.samples.latency_ns.max() < 20_000_000 for block in section.blocks)


def test_a_paced_block_has_no_lead_in() -> None:
    calls: list[int] = []
    load = Load(mode="open", block_s=0.1, rounds=1, rate_rps=50, arrivals="paced")
    contender_from_sender(Arm(key="a", label="a", model=""), calls.append, load).lead_in()
    assert calls == []
