"""Time handed out part by part, with a clock that only the test moves."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from photofinish.perf.judge.findings import findings_from_record
from photofinish.perf.load.loops import run_closed_loop
from photofinish.perf.measure.budget import P95_REQUESTS, Budget, SweepTime, Until
from photofinish.perf.measure.comparison import Contender, run_comparison
from photofinish.perf.record.record import TIME_UP, Arm, Load, Section
from photofinish.perf.report.text import markdown_report
from tests.perf.records import build_comparison, build_record

PARTS = ("comparison", "rivals", "paced", "paced", "ladder", "sweep")


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def budget(clock: Clock, **options: bool) -> Budget:
    return Budget(180.0, PARTS, clock=clock, **options)


@pytest.mark.parametrize(("fills", "expected"), [(False, [50, 40, 10, 10, 30, 40]), (True, [34, 42, 10, 10, 59, 25])])
def test_every_part_gets_its_share_and_the_last_ends_in_time(fills: bool, expected: list[int]) -> None:
    clock = Clock()
    shares = []
    given = budget(clock, fills=fills)
    for part in PARTS:
        deadline_s = given.deadline_of(part)
        shares.append(round(deadline_s - clock.now_s))
        clock.now_s = deadline_s
    assert shares == expected
    assert clock.now_s == pytest.approx(280)


def test_what_a_part_leaves_or_is_left_out_goes_to_those_after_it() -> None:
    clock = Clock()
    given = budget(clock)
    given.deadline_of("comparison")
    clock.now_s += 10
    assert given.deadline_of("ladder") - clock.now_s == pytest.approx(170 * 3 / 7)


@pytest.mark.parametrize(("rate_rps", "shortest"), [(0.0, 0.1), (5.0, 0.2)])
def test_blocks_become_shorter_until_there_are_rounds_enough(rate_rps: float, shortest: float) -> None:
    clock = Clock()
    part = "paced" if rate_rps else "comparison"
    load = Load(mode="open" if rate_rps else "closed", block_s=1.0, rounds=20, rate_rps=rate_rps)
    whole, _ = Budget(600.0, PARTS, clock=clock).timed(part, load, 2)
    assert (whole.block_s, whole.rounds) == (1.0, 20)
    scarce, until = Budget(30.0, PARTS, clock=clock, fills=True).timed(part, load, 2)
    assert shortest <= scarce.block_s < 0.5
    assert scarce.rounds > 20
    assert until.requests is None
    least, until = Budget(0.0, PARTS, clock=clock, stops_early=True).timed(part, load, 2)
    assert least.block_s == shortest
    assert until.requests == P95_REQUESTS


def test_arms_that_scatter_get_shorter_blocks_and_more_rounds_where_all_the_time_is_used() -> None:
    clock = Clock()
    load = Load(mode="closed", block_s=0.5)
    lengths = {
        fills: Budget(300.0, PARTS, clock=clock, fills=fills).timed("rivals", load, 4)[0].block_s
        for fills in (False, True)
    }
    assert lengths[False] == 0.5
    assert 0.1 < lengths[True] < 0.4


def _comparison(clock: Clock, until: Until, *, block_s: float = 1.0, per_block: int = 20) -> tuple[int, str, bool]:
    def contender(key: str) -> Contender:
        def run_block(seconds: float, seed: int):  # type: ignore[no-untyped-def]
            clock.now_s += seconds
            ticks = itertools.count(step=1000)
            return run_closed_loop(lambda index: None, requests=per_block, clock=lambda: next(ticks))

        return Contender(arm=Arm(key=key, label=key, model=""), run_block=run_block)

    section = run_comparison(
        [contender("a"), contender("b")],
        load=Load(mode="closed", block_s=block_s, rounds=1000),
        until=until,
        clock=lambda: int(clock.now_s * 1e9),
    )
    assert section.load.rounds == len(section.blocks_of("a")) == len(section.blocks_of("b"))
    return section.load.rounds, section.ended_by, section.complete


def test_a_comparison_ends_with_the_requests_that_a_p95_needs_in_whole_pairs_of_rounds() -> None:
    clock = Clock()
    until = Until(deadline_s=1e6, requests=P95_REQUESTS, clock=clock)
    assert _comparison(clock, until) == (8, "enough", True)
    assert _comparison(clock, until, per_block=500) == (6, "enough", True)


def test_a_comparison_goes_on_until_its_gains_are_known_or_the_time_is_up() -> None:
    clock = Clock()
    until = Until(
        deadline_s=1e6, requests=P95_REQUESTS, clock=clock, is_known=lambda section: len(section.blocks) >= 24
    )
    assert _comparison(clock, until) == (12, "enough", True)
    never = replace(until, deadline_s=clock.now_s + 41, is_known=lambda section: False)
    assert _comparison(clock, never) == (20, "time", True)


@pytest.mark.parametrize("requests", [None, 10_000])
def test_a_comparison_begins_no_round_that_ends_too_late(requests: int | None) -> None:
    clock = Clock()
    until = Until(deadline_s=clock.now_s + 11, requests=requests, clock=clock)
    assert _comparison(clock, until) == (5, "time", True)
    assert clock.now_s == 110


def test_a_part_whose_time_is_up_while_it_is_warmed_leaves_the_rest_its_time() -> None:
    clock = Clock()

    def warm_up() -> None:
        clock.now_s += 3

    kept: list[Section] = []
    arms = [Contender(arm=Arm(key=key, model=""), run_block=None, warm_up=warm_up) for key in "abc"]  # type: ignore[arg-type]
    load = Load(mode="closed", block_s=1.0)
    run_comparison(arms, load=load, until=Until(deadline_s=105.0, clock=clock), on_section=kept.append)
    assert clock.now_s == 106
    assert (kept[-1].blocks, kept[-1].complete, kept[-1].stopped_by) == ((), False, TIME_UP)


def _time(clock: Clock, left_s: float, **options: bool) -> SweepTime:
    return SweepTime(clock.now_s + left_s, generators=2, budget=budget(clock, **options), plan_s=4.0)


def test_a_row_gets_what_its_p95_needs_before_what_the_plan_says() -> None:
    clock = Clock()
    assert _time(clock, 1000).row_s(100.0, rows_of_level=3, rows=9) == 4.0
    assert _time(clock, 1000).row_s(10.0, rows_of_level=3, rows=9) == pytest.approx(1.15 * P95_REQUESTS / 10)
    assert _time(clock, 1000, stops_early=True).row_s(100.0, rows_of_level=3, rows=9) == pytest.approx(1.495)
    assert _time(clock, 1000, fills=True).row_s(100.0, rows_of_level=3, rows=9) > 50
    assert _time(clock, 30).row_s(1.0, rows_of_level=3, rows=9) == pytest.approx(30 / 3 / 2 - 0.75)


def test_a_number_in_flight_has_room_only_with_its_percentiles() -> None:
    clock = Clock()
    assert _time(clock, 40).has_room_for([10.0])
    assert not _time(clock, 40).has_room_for([10.0, 10.0])
    assert not _time(clock, 1e9).has_room_for([0.0])


@pytest.mark.parametrize(
    ("ended_by", "said"),
    [
        (
            "enough",
            "comparison (6 rounds): measured until every side had the requests that P95 needs and the gain in the",
        ),
        ("time", "comparison (6 rounds): measured until the time for it was up; what it is too short for stands as"),
    ],
)
def test_the_report_says_what_ended_a_part(ended_by: str, said: str) -> None:
    section = replace(build_comparison(), ended_by=ended_by)
    assert said in markdown_report(findings_from_record(build_record(sections=(section,))))
