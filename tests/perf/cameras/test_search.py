"""The search on machines that are simulated: it ends, near the truth, with a confirmation and a bound."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise

import pytest

from photofinish.errors import ConfigError
from photofinish.perf.cameras.goal import ProbeOutcome
from photofinish.perf.cameras.search import Ended, NextStep, SearchPlan, Tried, above_of, next_step

Machine = Callable[[NextStep], ProbeOutcome]


def carries(capacity: float) -> Machine:
    return lambda step: "held" if step.cameras <= capacity else "missed"


def searched(machine: Machine, plan: SearchPlan | None = None) -> tuple[Ended, list[Tried]]:
    plan, tried = plan or SearchPlan(), list[Tried]()
    for _ in range(200):
        step = next_step(tried, plan)
        if isinstance(step, Ended):
            return step, tried
        tried.append(Tried(purpose=step.purpose, cameras=step.cameras, outcome=machine(step)))
    raise AssertionError("the search does not end")


@pytest.mark.parametrize("capacity", [1, 2, 7, 8, 9, 30, 31, 87, 100, 285, 1000, 1999])
def test_it_finds_what_a_steady_machine_carries(capacity: int) -> None:
    found, tried = searched(carries(capacity))
    assert found.ending == "found"
    assert capacity - max(1, 0.03 * capacity) <= found.cameras <= capacity
    last = [(item.purpose, item.outcome) for item in tried if item.cameras >= found.cameras][-4:]
    assert ("confirm", "held") in last
    above = [item for item in tried if item.purpose == "above"]
    assert [(item.cameras, item.outcome) for item in above] == [(above_of(found.cameras, SearchPlan()), "missed")]
    assert [item.purpose for item in tried[-2:]] == ["keyframes", "reconnects"]
    assert len(tried) < 25


def test_a_machine_that_carries_nothing_and_one_that_carries_all() -> None:
    assert searched(carries(0))[0] == Ended(ending="none", cameras=0)
    found, tried = searched(carries(1e9), SearchPlan(most=100))
    assert found == Ended(ending="at_least", cameras=100)
    assert max(item.cameras for item in tried) == 100


def test_without_hard_runs_it_ends_with_the_bound() -> None:
    _, tried = searched(carries(40), SearchPlan(has_hard_runs=False))
    assert tried[-1].purpose == "above"


def test_a_confirmation_that_misses_lowers_the_number() -> None:
    """Ten minutes are harder than one: what held a probe is not carried yet."""
    found, tried = searched(lambda step: carries(80 if step.purpose == "confirm" else 90)(step))
    assert found.ending in ("found", "unconfirmed")
    confirmed = [item for item in tried if item.purpose == "confirm"]
    assert confirmed[0].outcome == "missed"
    assert all(later.cameras < earlier.cameras for earlier, later in pairwise(confirmed))
    never, tried = searched(lambda step: "missed" if step.purpose == "confirm" else carries(90)(step))
    assert never.ending == "unconfirmed"
    assert sum(item.purpose == "confirm" for item in tried) == SearchPlan().most_confirmations


def test_a_tenth_more_that_holds_sends_the_search_up_again() -> None:
    """A probe missed by chance at 50; the machine carries 90."""
    missed_once: list[int] = []

    def machine(step: NextStep) -> ProbeOutcome:
        if step.purpose == "search" and step.cameras > 50 and len(missed_once) < 2:
            missed_once.append(step.cameras)
            return "missed"
        return carries(90)(step)

    found, _ = searched(machine)
    assert found.ending == "found"
    assert 87 <= found.cameras <= 90


def test_void_steps_are_run_again_and_bound_the_search_when_they_stay() -> None:
    def late_above(limit: int) -> Machine:
        return lambda step: "void" if step.cameras > limit else "held"

    found, tried = searched(late_above(60))
    assert found.ending == "at_least"
    assert 58 <= found.cameras <= 60
    assert all(sum(other == item for other in tried) <= 2 for item in tried if item.outcome == "void")
    voids = iter(["void", "held"])
    found, tried = searched(lambda step: next(voids, None) or carries(20)(step))  # type: ignore[arg-type, return-value]
    assert [(item.cameras, item.outcome) for item in tried[:2]] == [(8, "void"), (8, "held")]
    assert found.ending == "found"


@pytest.mark.parametrize("seed", range(20))
def test_a_noisy_machine_ends_the_search_too(seed: int) -> None:
    chance = random.Random(seed)

    def machine(step: NextStep) -> ProbeOutcome:
        if chance.random() < 0.1:
            return "void"
        return "held" if step.cameras <= chance.gauss(120, 8) else "missed"

    found, tried = searched(machine)
    assert len(tried) < 100
    if found.ending == "found":
        assert 80 <= found.cameras <= 150


def test_it_goes_on_from_any_point() -> None:
    """The next step follows from the steps so far alone."""
    _, tried = searched(carries(77))
    for count in range(len(tried)):
        step = next_step(tried[:count], SearchPlan())
        assert step == NextStep(purpose=tried[count].purpose, cameras=tried[count].cameras)


def test_a_start_beyond_the_most_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"--start must be within 1\.\.50 \(--most\), got 60"):
        SearchPlan(start=60, most=50)
