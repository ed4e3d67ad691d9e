"""Each statement that a report makes of a section, with a verdict of its own."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from photofinish.perf.judge.reasons import Reason, is_overloaded
from photofinish.perf.judge.summary import FIGURES, ArmSummary, gain_between
from photofinish.perf.record.record import Arm, Section
from photofinish.perf.statistics import Interval

Validity = Literal["VALID", "INVALID"]
ClaimKind = Literal["gain", "step", "figures"]

STEP_FIGURES = ("p50", "frames_per_s")
MAX_UNCERTAINTY: Mapping[str, float] = {"p50": 0.15, "p95": 1.0, "p99": 1.0}
"""How far a gain's interval may reach beyond it, as a share: a gain of 2 then lies between 1.74 and 2.3.

A tail may be known to a factor of 2; a disturbance in one round in ten makes it 45 [11, 190]. Other figures have none:
their interval stands beside them.
"""
TAILS = ("p95", "p99")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One statement, and whether it may be believed.

    kind: `gain` of an arm against the first of its section (among rivals: of the last against each other), `step` of a
    rung against the rung before, `figures` for what stands in a section without a gain (then there are no arms, no
    figure and no value).
    figure: one of FIGURES, `gpu_memory` or `map50_95`. value: a ratio, above 1 is better; of
    `map50_95` the share of the reference's mAP. interval: None where there were no rounds to draw one from.
    reasons: all that speaks against it.
    """

    kind: ClaimKind
    section: Section = field(repr=False)
    figure: str = ""
    arm: Arm | None = None
    against: Arm | None = None
    value: float | None = None
    interval: Interval | None = None
    reasons: tuple[Reason, ...] = ()

    @property
    def verdict(self) -> Validity:
        """INVALID when there is any reason."""
        return "INVALID" if self.reasons else "VALID"

    @property
    def is_timed(self) -> bool:
        """Whether it is about time, and not about memory or accuracy, which other programs on the CPU leave alone."""
        return self.figure not in _NOT_TIMED

    @property
    def shows_difference(self) -> bool:
        """Whether there is a difference to speak of: False where the interval holds 1, or either is printed as 1.00."""
        if self.value is None or _as_printed(self.value) == 1.0:
            return False
        ends = (self.interval.low, self.interval.high) if self.interval else (self.value, self.value)
        return not _as_printed(ends[0]) <= 1.0 <= _as_printed(ends[1])


def claims_from_section(
    section: Section, summaries: Sequence[ArmSummary], reasons: Sequence[Reason]
) -> tuple[Claim, ...]:
    """What a section states. reasons: all that speaks against it, its arms or their figures."""
    claims: list[Claim] = []
    if section.kind in ("comparison", "ladder"):
        claims += [claim for item in summaries[1:] for claim in _gains(section, summaries[0], item)]
    if section.kind == "rivals":
        claims += [claim for item in summaries[:-1] for claim in _gains_over(section, item, summaries[-1])]
    if section.kind == "ladder":
        claims += [claim for pair in itertools.pairwise(summaries) for claim in _steps(section, *pair)]
    judged = [replace(claim, reasons=_reasons_against(claim, reasons)) for claim in claims]
    told = {id(reason) for claim in judged for reason in claim.reasons}
    left = tuple(reason for reason in reasons if id(reason) not in told)
    if left or not judged:
        judged.append(Claim(kind="figures", section=section, reasons=left))
    return tuple(judged)


def are_medians_known(section: Section) -> bool:
    """Whether every gain in the median is known as closely as it must be, by what was measured so far.

    It looks at how wide the intervals are and not at where they lie, so that a run may end by it.
    """
    sides = [section.blocks_of(arm.key) for arm in section.arms]
    first, others = (sides[-1], sides[:-1]) if section.kind == "rivals" else (sides[0], sides[1:])
    gains = [gain_between(first, other, "p50") for other in others]
    return all(gain is not None and gain.high / gain.estimate - 1 <= MAX_UNCERTAINTY["p50"] for gain in gains)


def claim_of(claims: Iterable[Claim], kind: ClaimKind, figure: str, arm: Arm) -> Claim | None:
    """The claim of that kind about that figure of that arm; None where it is not made."""
    found = (item for item in claims if (item.kind, item.figure) == (kind, figure) and item.arm is not None)
    return next((item for item in found if item.arm is not None and item.arm.key == arm.key), None)


def claim_of_pair(claims: Iterable[Claim], figure: str, arm: Arm, against: Arm) -> Claim | None:
    """The claim of a gain in that figure of one arm against another; None where it is not made."""
    for item in claims:
        if (item.kind, item.figure) == ("gain", figure) and item.arm is not None and item.against is not None:
            if (item.arm.key, item.against.key) == (arm.key, against.key):
                return item
    return None


def merged_reasons(claims: Iterable[Claim]) -> tuple[Reason, ...]:
    """The reasons of all claims, each once; what differs only by the arm is one reason with its worst figure."""
    found = list({id(reason): reason for claim in claims for reason in claim.reasons}.values())
    widths = sorted((item for item in found if item.key == "imprecise"), key=lambda item: -item.values["percent"])
    others = tuple(item for item in found if item.key != "imprecise")
    if not widths:
        return others
    arms = {arm.key: arm for item in widths for arm in item.arms}
    return (*others, replace(widths[0], arms=tuple(arms.values())))


def _gains(section: Section, first: ArmSummary, item: ArmSummary) -> list[Claim]:
    is_late = is_overloaded(section, first) or is_overloaded(section, item)
    figures = [key for key in FIGURES if key == "frames_per_s" or not is_late]
    claims = [_claim(section, "gain", key, first, item, interval) for key in figures if (interval := item.gain(key))]
    if section.kind == "comparison" and not section.load.rate_rps:
        shares = {"gpu_memory": _memory_ratio(first, item), "map50_95": map_share(first.arm, item.arm)}
        claims += [
            Claim(kind="gain", section=section, figure=key, arm=item.arm, against=first.arm, value=value)
            for key, value in shares.items()
            if value is not None
        ]
    return claims


def _gains_over(section: Section, other: ArmSummary, ours: ArmSummary) -> list[Claim]:
    found = ((key, gain_between(other.blocks, ours.blocks, key)) for key in FIGURES)
    return [_claim(section, "gain", key, other, ours, interval) for key, interval in found if interval]


def _steps(section: Section, before: ArmSummary, item: ArmSummary) -> list[Claim]:
    found = ((key, gain_between(before.blocks, item.blocks, key)) for key in STEP_FIGURES)
    return [_claim(section, "step", key, before, item, interval) for key, interval in found if interval]


def _claim(section: Section, kind: ClaimKind, figure: str, before: ArmSummary, item: ArmSummary,
           interval: Interval) -> Claim:  # fmt: skip
    known = interval if interval.low < interval.high else None
    return Claim(kind=kind, section=section, figure=figure, arm=item.arm, against=before.arm,
                 value=interval.estimate, interval=known)  # fmt: skip


_NOT_TIMED: Mapping[str, tuple[str, ...]] = {
    "gpu_memory": ("no_time", "incomplete", "cut_off", "foreign_gpu"),
    "map50_95": (),
}
"""Figures that are no times, and what speaks against them all the same."""


def _reasons_against(claim: Claim, reasons: Sequence[Reason]) -> tuple[Reason, ...]:
    arms = [arm for arm in (claim.arm, claim.against) if arm is not None]
    found = [reason for reason in reasons if reason.concerns(arms, claim.figure)]
    if not claim.is_timed:
        return tuple(reason for reason in found if reason.key in _NOT_TIMED[claim.figure])
    limit = MAX_UNCERTAINTY.get(claim.figure)
    width = claim.interval.high / claim.interval.estimate - 1 if claim.interval else 0.0
    if limit is None or width <= limit or (claim.kind == "step" and not claim.shows_difference):
        return tuple(found)
    values = {"percent": round(100 * width), "limit": round(100 * limit)}
    if claim.figure in TAILS:
        values_of_tail = {**values, "figure": claim.figure.upper()}
        return (*found, Reason(key="loose_tail", section=claim.section, arms=tuple(arms[:1]), values=values_of_tail))
    return (*found, Reason(key="imprecise", section=claim.section, arms=tuple(arms[:1]), values=values))


def _as_printed(ratio: float) -> float:
    """A ratio with the three digits that a report gives it: 1.004 reads 1.00."""
    return float(f"{ratio:.3g}")


def _memory_ratio(before: ArmSummary, after: ArmSummary) -> float | None:
    if not before.gpu_memory_bytes or not after.gpu_memory_bytes:
        return None
    return before.gpu_memory_bytes / after.gpu_memory_bytes


def map_share(before: Arm, after: Arm) -> float | None:
    """The later arm's mAP50-95 as a share of the earlier one's, where the gate measured both on the same pictures."""
    if not is_same_data(before, after):
        return None
    if (share := after.accuracy.get("map_share")) is not None:
        return float(share)
    first, second = (arm.accuracy.get("map50_95") for arm in (before, after))
    return float(second) / float(first) if first and second is not None else None


def is_same_data(before: Arm, after: Arm) -> bool:
    """Whether the gate measured both arms on one data set, as far as both tell: else two mAPs say nothing together."""
    known = {arm.accuracy.get("dataset_sha256") for arm in (before, after)} - {None, ""}
    return len(known) < 2
