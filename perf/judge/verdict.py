"""May these figures be believed, and do they keep the limits?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from photofinish.errors import ConfigError
from photofinish.perf.judge.claims import Claim, Validity, map_share, merged_reasons
from photofinish.perf.judge.reasons import Reason
from photofinish.perf.judge.summary import ArmSummary, latency_statistic
from photofinish.perf.record.record import Record, Section
from photofinish.perf.record.samples import NS_PER_MS
from photofinish.perf.statistics import Interval, resampled_mean, value_interval

Standing = Literal["VALID", "PARTLY", "INVALID"]
Outcome = Literal["PASS", "FAIL", "INCONCLUSIVE"]

LIMIT_NAMES = ("p95_ms", "p99_ms", "min_fps", "min_speedup", "min_map", "max_gpu_memory_mib")


_EMPTY = Reason(key="empty")


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitResult:
    """One limit, what was found, and what follows. found: the interval, None when it was not measured."""

    name: str
    limit: float
    found: Interval | None
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class PartVerdict:
    """The judgement over one section, made of those over its claims."""

    section: Section = field(repr=False)
    claims: tuple[Claim, ...]

    @property
    def name(self) -> str:
        """The section's name."""
        return self.section.name

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Those of its claims, each once."""
        return merged_reasons(self.claims)

    @property
    def validity(self) -> Validity:
        """INVALID when any of its claims is."""
        return "INVALID" if self.reasons else "VALID"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The judgement over a record, part by part."""

    parts: tuple[PartVerdict, ...]
    limits: tuple[LimitResult, ...]

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Those of all parts; that nothing was measured is a reason too."""
        return tuple(reason for part in self.parts for reason in part.reasons) if self.parts else (_EMPTY,)

    @property
    def claims(self) -> tuple[Claim, ...]:
        """Those of all parts."""
        return tuple(claim for part in self.parts for claim in part.claims)

    @property
    def validity(self) -> Validity:
        """INVALID when any claim is."""
        return "INVALID" if self.reasons else "VALID"

    @property
    def standing(self) -> Standing:
        """VALID when every claim is, INVALID when none about time is, else PARTLY."""
        verdicts = {claim.verdict for claim in self.claims if claim.is_timed}
        return "VALID" if verdicts == {"VALID"} else "PARTLY" if "VALID" in verdicts else "INVALID"

    def is_valid(self, name: str) -> bool:
        """Whether the part of that name was measured and is VALID."""
        return any(part.name == name and not part.reasons for part in self.parts)

    @property
    def outcome(self) -> Outcome | None:
        """FAIL when any limit fails, else INCONCLUSIVE when any is, else PASS; None without limits."""
        outcomes = [item.outcome for item in self.limits]
        return next((outcome for outcome in ("FAIL", "INCONCLUSIVE", "PASS") if outcome in outcomes), None)

    @property
    def falls_short(self) -> bool:
        """Whether the command must exit with 3."""
        return self.validity == "INVALID" or self.outcome == "FAIL"


def primary_comparison(record: Record) -> Section | None:
    """The section the headline and the limits are about: the first comparison."""
    return next((section for section in record.sections if section.kind == "comparison"), None)


def limit_result(name: str, limit: float, summaries: Sequence[ArmSummary]) -> LimitResult:
    """Whether the second arm of the primary comparison keeps a limit. Raises ConfigError for a limit nobody knows."""
    if name not in LIMIT_NAMES:
        raise ConfigError(f"unknown limit {name!r}; known are {', '.join(LIMIT_NAMES)}")
    if len(summaries) < 2:
        return LimitResult(name=name, limit=limit, found=None, outcome="INCONCLUSIVE")
    found = _figure(name, summaries[0], summaries[1])
    return LimitResult(name=name, limit=limit, found=found, outcome=_outcome(name, limit, found))


def _outcome(name: str, limit: float, found: Interval | None) -> Outcome:
    if found is None:
        return "INCONCLUSIVE"
    if name.startswith("min_"):
        return "PASS" if found.low >= limit else "FAIL" if found.high < limit else "INCONCLUSIVE"
    return "PASS" if found.high <= limit else "FAIL" if found.low > limit else "INCONCLUSIVE"


def _figure(name: str, baseline: ArmSummary, candidate: ArmSummary) -> Interval | None:
    """The figure a limit is about, for the second arm of the primary comparison."""
    if name == "min_map":
        share = map_share(baseline.arm, candidate.arm)
        return None if share is None else _point(share)
    if name == "max_gpu_memory_mib":
        memory = candidate.gpu_memory_bytes
        return None if memory is None else _point(memory / 2**20)
    blocks = candidate.blocks
    if len(blocks) < 2:  # one block shows nothing of how much blocks differ: no interval, so no outcome
        return None
    if name == "min_speedup":
        return candidate.gain("p50")
    if name == "min_fps":
        if not all(block.samples.completed_count for block in blocks):
            return None
        return value_interval([np.array([block.samples.frames_per_s]) for block in blocks], resampled_mean)
    key = name.removesuffix("_ms")
    if candidate.latency[key] is None:
        return None
    return value_interval([block.samples.latency_ns / NS_PER_MS for block in blocks], latency_statistic(key))


def _point(value: float) -> Interval:
    return Interval(estimate=value, low=value, high=value)
