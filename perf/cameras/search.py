"""Which number of cameras to try next: double, bisect, confirm, show that more are too many. Nothing is run here.

The next step follows from what was tried, so that a search which was cut off goes on from its record.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from photofinish.errors import ConfigError
from photofinish.perf.cameras.goal import ProbeOutcome
from photofinish.perf.record.find import HARD, Purpose

Ending = Literal["found", "at_least", "none", "unconfirmed"]
"""found: confirmed, and a tenth more missed. at_least: confirmed, and nothing said that more are too many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPlan:
    """start: the first number. most: no more are tried. precision: of the number that bisecting ends at.

    above: how many more must miss. has_hard_runs: whether the two hard runs are made at the number found.
    """

    start: int = 8
    most: int = 2000
    precision: float = 0.03
    above: float = 1.1
    has_hard_runs: bool = True
    most_voids: int = 2
    most_confirmations: int = 3
    most_probes: int = 40

    def __post_init__(self) -> None:
        """Raise ConfigError for a search that cannot begin."""
        if not 1 <= self.start <= self.most:
            raise ConfigError(f"--start must be within 1..{self.most} (--most), got {self.start}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A step that was run."""

    purpose: Purpose
    cameras: int
    outcome: ProbeOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class NextStep:
    """A step to run."""

    purpose: Purpose
    cameras: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The search is over. cameras: 0 where not even one held; for `unconfirmed` the most that held a short probe."""

    ending: Ending
    cameras: int


@dataclass(slots=True)
class _Bounds:
    """held: the most cameras that held. missed: the fewest that did not, None while none is known.

    confirmed: numbers that held a confirmation. was_bounded: whether any number ever missed.
    """

    held: int = 0
    missed: int | None = None
    was_bounded: bool = False

    def note(self, cameras: int, outcome: ProbeOutcome) -> None:
        """What is newer counts more: a number that holds overrules misses up to it, one that misses what held above."""
        if outcome == "held":
            self.held = max(self.held, cameras)
            if self.missed is not None and self.missed <= self.held:
                self.missed = None
        else:
            self.missed = cameras if self.missed is None else min(self.missed, cameras)
            self.was_bounded = True


def next_step(tried: Sequence[Tried], plan: SearchPlan) -> NextStep | Ended:
    """The step after those that were tried, oldest first; or that it is over."""
    if again := _again(tried, plan):
        return again
    bounds = _bounds(tried, plan)
    confirmed = _outcomes(tried, "confirm", bounds.held)
    if "held" in confirmed:
        return _after_confirmation(tried, plan, bounds.held)
    refused = [item for item in tried if item.purpose == "confirm" and item.outcome == "missed"]
    if len(refused) >= plan.most_confirmations or len(tried) >= plan.most_probes or "void" in confirmed:
        return Ended(ending="unconfirmed", cameras=bounds.held)
    if bounds.missed is None:
        if bounds.held < plan.most:
            return NextStep(purpose="search", cameras=_larger(bounds, plan))
    elif bounds.missed - bounds.held > max(1, math.floor(plan.precision * bounds.held)):
        return NextStep(purpose="search", cameras=(bounds.held + bounds.missed) // 2)
    if not bounds.held:
        return Ended(ending="none", cameras=0)
    return NextStep(purpose="confirm", cameras=bounds.held)


def above_of(cameras: int, plan: SearchPlan) -> int:
    """A tenth more, and one more at least."""
    return max(cameras + 1, math.ceil(plan.above * cameras - 1e-9))


def _again(tried: Sequence[Tried], plan: SearchPlan) -> NextStep | None:
    """A step that was void is run again, so often and no more."""
    if not tried or tried[-1].outcome != "void":
        return None
    last = tried[-1]
    voids = 0
    for item in reversed(tried):
        if item != last:
            break
        voids += 1
    return NextStep(purpose=last.purpose, cameras=last.cameras) if voids < plan.most_voids else None


def _bounds(tried: Iterable[Tried], plan: SearchPlan) -> _Bounds:
    """What is known: voids that were given up count as a bound, and say nothing else."""
    bounds, held_numbers, voids = _Bounds(), set[int](), dict[tuple[Purpose, int], int]()
    for item in tried:
        if item.purpose in HARD:
            continue
        outcome = item.outcome
        if outcome == "void":
            key = (item.purpose, item.cameras)
            voids[key] = voids.get(key, 0) + 1
            if voids[key] < plan.most_voids or item.purpose != "search":
                continue
            outcome = "missed"
        bounds.note(item.cameras, outcome)
        if outcome == "held":
            held_numbers.add(item.cameras)
        else:
            held_numbers = {number for number in held_numbers if number < item.cameras}
            bounds.held = max(held_numbers, default=0)
    return bounds


def _larger(bounds: _Bounds, plan: SearchPlan) -> int:
    if not bounds.held:
        return plan.start
    factor = 1.2 if bounds.was_bounded else 2
    return min(max(bounds.held + 1, math.floor(bounds.held * factor)), plan.most)


def _after_confirmation(tried: Sequence[Tried], plan: SearchPlan, cameras: int) -> NextStep | Ended:
    above = above_of(cameras, plan)
    beyond = _outcomes(tried, "above", above)
    if not beyond and cameras < plan.most:
        return NextStep(purpose="above", cameras=above)
    for purpose in HARD if plan.has_hard_runs else ():
        if not _outcomes(tried, purpose, cameras):
            return NextStep(purpose=purpose, cameras=cameras)
    return Ended(ending="found" if "missed" in beyond else "at_least", cameras=cameras)


def _outcomes(tried: Sequence[Tried], purpose: Purpose, cameras: int) -> list[ProbeOutcome]:
    return [item.outcome for item in tried if item.purpose == purpose and item.cameras == cameras]
