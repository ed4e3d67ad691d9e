"""All that speaks against the figures of a section, and against which of them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from photofinish.machine.processes import listed_programs
from photofinish.percentiles import min_samples
from photofinish.perf.judge.doubts import (
    MAX_OVERHEAD_NS,
    MAX_OVERHEAD_SHARE,
    drift_of,
    is_sender_late,
    late_percentiles_ns,
)
from photofinish.perf.judge.summary import ArmSummary
from photofinish.perf.record.observation import POWER_CAP, Throttle
from photofinish.perf.record.record import MIN_ROUNDS, TIME_UP, Arm, Block, Harness, Section
from photofinish.perf.record.samples import NS_PER_MS

MAX_DRIFT = 0.15
"""Of a gain: as far as it may be uncertain. Two medians that may each move by a tenth move their ratio by as much."""
TOLD_DRIFT = 0.10
"""Of the machine's own speed, which voids nothing: from here on a note tells it."""
MAX_ERROR_SHARE = 0.001
MAX_OTHER_CPU_SHARE = 0.15
MIN_KEPT_RATE_SHARE = 0.97
MIN_MATCHED_SHARE = 0.8
"""Of a rival's boxes, how many ours must find too: a comparison of two things that see differently is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why something is INVALID. key names the sentence and the advice that a report has for it.

    They are filled with the section, the arms and throttles that it concerns, and the values.
    arms, figures: what it speaks against; () for all arms, and for all figures, of the section.
    """

    key: str
    section: Section | None = field(default=None, repr=False)
    arms: tuple[Arm, ...] = ()
    figures: tuple[str, ...] = ()
    throttles: tuple[Throttle, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)

    def concerns(self, arms: Sequence[Arm], figure: str) -> bool:
        """Whether it speaks against that figure of any of these arms."""
        hits_arm = not self.arms or any(item.key == arm.key for item in self.arms for arm in arms)
        return hits_arm and (not self.figures or figure in self.figures)


def is_overloaded(section: Section, summary: ArmSummary) -> bool:
    """Whether an arm could not keep the offered rate: its latency then depends on how long one looked."""
    rate = section.load.rate_rps * summary.arm.batch_size
    return section.load.mode == "open" and summary.frames_per_s < MIN_KEPT_RATE_SHARE * rate


def reasons_from_section(
    section: Section,
    summaries: Sequence[ArmSummary],
    *,
    harness: Harness | None = None,
    is_primary: bool = False,
    network: Arm | None = None,
) -> tuple[Reason, ...]:
    """All in a section that speaks against it, but what came from outside.

    is_primary: whether the headline is about it; its samples must carry a P95. harness: what the load generator costs.
    network: an arm of the network that the whole record is about; None where this section stands alone.
    """
    reasons: list[Reason] = []
    if not section.complete and section.stopped_by == TIME_UP:
        reasons.append(Reason(key="no_time", section=section))
    elif not section.complete and section.stopped_by:
        reasons.append(Reason(key="incomplete", section=section, values={"by": section.stopped_by}))
    elif not section.complete:
        reasons.append(Reason(key="cut_off", section=section))
    first = network or section.arms[0]
    others = [arm for arm in section.arms if not (arm.is_of_same_network(first) or arm.is_pruned_from(first))]
    if others:
        named = dict.fromkeys(f"{arm.model} ({arm.weights})" for arm in (first, others[0]))
        reasons.append(Reason(key="networks", section=section, values={"models": ", ".join(named)}))
    if refused := tuple(arm for arm in section.arms if arm.accuracy.get("passed") is False):
        reasons.append(Reason(key="refused", section=section, arms=refused))
    for summary in summaries:
        if summary.errors > MAX_ERROR_SHARE * summary.requests:
            values = {"errors": summary.errors, "requests": summary.requests}
            reasons.append(Reason(key="errors", section=section, arms=(summary.arm,), values=values))
    reasons += [
        Reason(key="other_boxes", section=section, arms=(item.arm,), values=item.arm.agreement)
        for item in summaries
        if item.arm.agreement.get("matched", 0) < MIN_MATCHED_SHARE * item.arm.agreement.get("boxes", 0)
    ]
    if section.kind in ("comparison", "rivals", "ladder"):
        reasons += _count_reasons(section, summaries, is_primary=is_primary)
        reasons += _load_reasons(section, summaries, harness)
    return tuple(reasons)


def _count_reasons(section: Section, summaries: Sequence[ArmSummary], *, is_primary: bool) -> list[Reason]:
    reasons = []
    shared = {block.round for block in _reference_and_others(section, summaries)[0].blocks} if summaries else set()
    for summary in summaries:
        arms, blocks = (summary.arm,), len({block.round for block in summary.blocks} & shared)
        completed, needed = summary.requests - summary.errors, min_samples(0.95)
        if section.complete and blocks < MIN_ROUNDS:
            few = {"rounds": blocks, "needed": MIN_ROUNDS}
            reasons.append(Reason(key="few_rounds", section=section, arms=arms, values=few))
        if completed < needed and is_primary:
            few = {"requests": completed, "needed": needed}
            reasons.append(Reason(key="few_samples", section=section, arms=arms, figures=("p95", "p99"), values=few))
    return reasons


def _load_reasons(section: Section, summaries: Sequence[ArmSummary], harness: Harness | None) -> list[Reason]:
    reasons = []
    if section.load.mode == "open":
        reasons += _late_reasons(section, summaries)
    reasons += _drift_reasons(section, [item for item in summaries if not is_overloaded(section, item)])
    medians = [median for item in summaries if (median := item.latency["p50"])]
    if harness and medians and section.load.mode == "closed":
        overhead_ns = harness.closed_loop_p95_ns
        if overhead_ns > max(MAX_OVERHEAD_NS, MAX_OVERHEAD_SHARE * min(medians)):
            reasons.append(Reason(key="harness", section=section, values={"us": round(overhead_ns / 1000)}))
    return reasons


def _late_reasons(section: Section, summaries: Sequence[ArmSummary]) -> list[Reason]:
    samples = [(item.arm, [block.samples for block in item.blocks]) for item in summaries]
    late = [(arm, late_percentiles_ns(blocks)) for arm, blocks in samples if is_sender_late(blocks)]
    if not late:
        return []
    p95_ns, p99_ns = (max(percentiles[place] for _, percentiles in late) for place in range(2))
    values = {"p95": f"{p95_ns / NS_PER_MS:.2g}", "p99": f"{p99_ns / NS_PER_MS:.2g}"}
    return [Reason(key="late_sender", section=section, arms=tuple(arm for arm, _ in late), values=values)]


def _drift_reasons(section: Section, steady: Sequence[ArmSummary]) -> list[Reason]:
    """A gain that changes while it is measured: of all arms that have one, the worst first.

    Arms take turns, so a machine that becomes slower for all alike leaves their ratios alone; `common_drift` tells it.
    """
    if len(steady) < 2:
        return []
    reference, others = _reference_and_others(section, steady)
    changes = [drift_of(item.blocks, against=reference.blocks, families=len(others)) or 0.0 for item in others]
    found = [(abs(change), item.arm) for change, item in zip(changes, others, strict=True)]
    if section.kind == "ladder":  # it also claims what a rung wins over the one before it, and two may part unseen
        steady_pairs = [
            (before, item)
            for (before, old), (item, new) in itertools.pairwise(zip(others, changes, strict=True))
            if max(abs(old), abs(new)) <= MAX_DRIFT
        ]
        found += [
            (abs(drift_of(item.blocks, against=before.blocks, families=len(others)) or 0.0), item.arm)
            for before, item in steady_pairs
        ]
    drifts = sorted((pair for pair in found if pair[0] > MAX_DRIFT), key=lambda pair: -pair[0])
    if not drifts:
        return []
    values = {"percent": round(100 * drifts[0][0]), "limit": round(100 * MAX_DRIFT)}
    arms = tuple({arm.key: arm for _, arm in drifts}.values())
    return [Reason(key="unstable", section=section, arms=arms, values=values)]


def _reference_and_others(section: Section, steady: Sequence[ArmSummary]) -> tuple[ArmSummary, Sequence[ArmSummary]]:
    """The arm that the gains of a section are taken against, and the others."""
    return (steady[-1], steady[:-1]) if section.kind == "rivals" else (steady[0], steady[1:])


def common_drift(section: Section, summaries: Sequence[ArmSummary]) -> float | None:
    """By which share the median of a section's reference surely drifted, beyond TOLD_DRIFT; None where it did not."""
    if section.kind not in ("comparison", "rivals", "ladder") or not summaries:
        return None
    reference, _ = _reference_and_others(section, summaries)
    drift = None if is_overloaded(section, reference) else drift_of(reference.blocks)
    return drift if drift is not None and abs(drift) > TOLD_DRIFT else None


def machine_reasons(section: Section, cores: int) -> list[Reason]:
    """What disturbed this section from outside: the GPU held back, other programs. cores: of the machine."""
    reasons = []
    gpus = [gpu for block in section.blocks for gpu in block.observed.gpus]
    # A power cap that changes clocks while measuring shows as drift; one that does not is the card as it is.
    if held_back := sorted({reason for gpu in gpus for reason in gpu.throttle_reasons} - {POWER_CAP}):
        reasons.append(Reason(key="throttled", section=section, throttles=tuple(held_back)))
    if foreign := max((gpu.foreign_processes for gpu in gpus), default=0):
        reasons.append(Reason(key="foreign_gpu", section=section, values={"count": foreign}))
    used, programs = max((_other_work(section.blocks_of(arm.key)) for arm in section.arms), default=(0.0, ""))
    if used > MAX_OTHER_CPU_SHARE * cores:
        values = {"cores": used, "all": cores, "programs": f" ({programs})" if programs else ""}
        reasons.append(Reason(key="foreign_cpu", section=section, values=values))
    return reasons


def _other_work(blocks: Sequence[Block]) -> tuple[float, str]:
    """Cores that other programs used while one arm was measured, on average, and which programs those were most.

    By arm: what ran while one side alone was measured slowed that side alone.
    """
    known = [block.observed for block in blocks if block.observed.other_cpu_cores is not None]
    if not known:
        return 0.0, ""
    used: dict[str, float] = {}
    for name, cores in (program for item in known for program in item.other_programs):
        used[name] = used.get(name, 0.0) + cores / len(known)
    busiest = sorted(used.items(), key=lambda pair: -pair[1])[:3]
    return float(np.mean([item.other_cpu_cores for item in known])), listed_programs(busiest)
