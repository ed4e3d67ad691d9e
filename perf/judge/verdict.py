"""May these figures be believed, and do they keep the limits?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from photofinish.errors import ConfigError
from photofinish.percentiles import min_samples
from photofinish.perf.judge.doubts import MAX_OVERHEAD_NS, drift_of, is_sender_late
from photofinish.perf.judge.summary import ArmSummary, latency_statistic
from photofinish.perf.record.observation import POWER_CAP, Throttle
from photofinish.perf.record.record import MIN_ROUNDS, Arm, Record, Section
from photofinish.perf.record.samples import NS_PER_MS
from photofinish.perf.statistics import Interval, resampled_mean, value_interval

Validity = Literal["VALID", "INVALID"]
Outcome = Literal["PASS", "FAIL", "INCONCLUSIVE"]

MAX_DRIFT = 0.10
MAX_GAIN_UNCERTAINTY = 0.15
"""A gain of 2 is then known to lie between 1.74 and 2.3."""
MAX_ERROR_SHARE = 0.001
MAX_OTHER_CPU_SHARE = 0.15
MIN_KEPT_RATE_SHARE = 0.97
MAX_OVERHEAD_SHARE = 0.02
LIMIT_NAMES = ("p95_ms", "p99_ms", "min_fps", "min_speedup", "min_map", "max_gpu_memory_mib")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a section is INVALID. key names the sentence and the advice that a report has for it.

    They are filled with the section, the arms and throttles that it concerns, and the values.
    """

    key: str
    section: Section | None = field(default=None, repr=False)
    arms: tuple[Arm, ...] = ()
    throttles: tuple[Throttle, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)


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
    """The judgement over one section."""

    section: Section = field(repr=False)
    reasons: tuple[Reason, ...]

    @property
    def name(self) -> str:
        """The section's name."""
        return self.section.name

    @property
    def validity(self) -> Validity:
        """INVALID when there is any reason."""
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
    def validity(self) -> Validity:
        """INVALID as a whole when any part is."""
        return "INVALID" if self.reasons else "VALID"

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


def is_overloaded(section: Section, summary: ArmSummary) -> bool:
    """Whether an arm could not keep the offered rate: its latency then depends on how long one looked."""
    rate = section.load.rate_rps * summary.arm.batch_size
    return section.load.mode == "open" and summary.frames_per_s < MIN_KEPT_RATE_SHARE * rate


def reasons_from_section(section: Section, summaries: Sequence[ArmSummary], record: Record) -> tuple[Reason, ...]:
    """All in a section of the record that speaks against it, but what came from outside."""
    reasons: list[Reason] = []
    if not section.complete and section.stopped_by:
        reasons.append(Reason(key="incomplete", section=section, values={"by": section.stopped_by}))
    elif not section.complete:
        reasons.append(Reason(key="cut_off", section=section))
    for summary in summaries:
        if summary.errors > MAX_ERROR_SHARE * summary.requests:
            values = {"errors": summary.errors, "requests": summary.requests}
            reasons.append(Reason(key="errors", section=section, arms=(summary.arm,), values=values))
    if section.kind in ("comparison", "ladder"):
        reasons += _comparison_reasons(section, summaries, record)
    return tuple(reasons)


def _comparison_reasons(section: Section, summaries: Sequence[ArmSummary], record: Record) -> list[Reason]:
    reasons = []
    for summary in summaries:
        arms, blocks = (summary.arm,), len(summary.blocks)
        completed, needed = summary.requests - summary.errors, min_samples(0.95)
        if section.complete and blocks < MIN_ROUNDS:
            few = {"rounds": blocks, "needed": MIN_ROUNDS}
            reasons.append(Reason(key="few_rounds", section=section, arms=arms, values=few))
        if completed < needed and section is primary_comparison(record):
            few = {"requests": completed, "needed": needed}
            reasons.append(Reason(key="few_samples", section=section, arms=arms, values=few))
    late = tuple(item.arm for item in summaries if any(is_sender_late(block.samples) for block in item.blocks))
    if late and section.load.mode == "open":
        reasons.append(Reason(key="late_sender", section=section, arms=late))
    reasons += _spread_reasons(section, [item for item in summaries if not is_overloaded(section, item)])
    medians = [median for item in summaries if (median := item.latency["p50"])]
    if record.harness and medians:
        closed_ns, open_ns = record.harness.closed_loop_p95_ns, record.harness.open_loop_p95_ns
        overhead_ns = open_ns if section.load.mode == "open" else closed_ns
        if overhead_ns > max(MAX_OVERHEAD_NS, MAX_OVERHEAD_SHARE * min(medians)):
            reasons.append(Reason(key="harness", section=section, values={"us": round(overhead_ns / 1000)}))
    return reasons


def machine_reasons(section: Section, cores: int) -> list[Reason]:
    """What disturbed this section from outside: the GPU held back, other programs. cores: of the machine."""
    reasons = []
    gpus = [gpu for block in section.blocks for gpu in block.observed.gpus]
    # A power cap that changes clocks while measuring shows as drift; one that does not is the card as it is.
    if held_back := sorted({reason for gpu in gpus for reason in gpu.throttle_reasons} - {POWER_CAP}):
        reasons.append(Reason(key="throttled", section=section, throttles=tuple(held_back)))
    if foreign := max((gpu.foreign_processes for gpu in gpus), default=0):
        reasons.append(Reason(key="foreign_gpu", section=section, values={"count": foreign}))
    others = [block.observed.other_cpu_cores for block in section.blocks if block.observed.other_cpu_cores is not None]
    if others and (mean := float(np.mean(others))) > MAX_OTHER_CPU_SHARE * cores:
        reasons.append(Reason(key="foreign_cpu", section=section, values={"cores": mean, "all": cores}))
    return reasons


def _spread_reasons(section: Section, steady: Sequence[ArmSummary]) -> list[Reason]:
    """A drift that noise does not explain; noise that leaves a gain too uncertain. Of each the worst arm is named."""
    reasons = []
    drifts = [(abs(found), item.arm) for item in steady if (found := drift_of(item.blocks, families=len(steady)))]
    drift, arm = max(drifts, key=lambda pair: pair[0], default=(0.0, None))
    if arm and drift > MAX_DRIFT:
        reasons.append(_spread_reason("unstable", section, arm, drift, MAX_DRIFT))
    gains = [(item.gain("p50"), item.arm) for item in steady if not item.is_first]
    widths = [(gain.high / gain.estimate - 1, arm) for gain, arm in gains if gain and gain.low < gain.high]
    width, arm = max(widths, key=lambda pair: pair[0], default=(0.0, None))
    if arm and width > MAX_GAIN_UNCERTAINTY:
        reasons.append(_spread_reason("imprecise", section, arm, width, MAX_GAIN_UNCERTAINTY))
    return reasons


def _spread_reason(key: str, section: Section, arm: Arm, found: float, limit: float) -> Reason:
    values = {"percent": round(100 * found), "limit": round(100 * limit)}
    return Reason(key=key, section=section, arms=(arm,), values=values)


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
        return _map_share(baseline.arm, candidate.arm)
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


def _map_share(baseline: Arm, candidate: Arm) -> Interval | None:
    """The candidate's mAP50-95 as a share of the baseline's, where the gate measured both."""
    if (share := candidate.accuracy.get("map_share")) is not None:
        return _point(float(share))
    before, after = (arm.accuracy.get("map50_95") for arm in (baseline, candidate))
    return _point(float(after) / float(before)) if before and after is not None else None


def _point(value: float) -> Interval:
    return Interval(estimate=value, low=value, high=value)
