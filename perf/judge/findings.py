"""A record judged once: figures, stages, steps and verdicts, from which every report is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from photofinish.perf.judge.stages import StageRow, stage_rows
from photofinish.perf.judge.summary import ArmSummary, summaries_from_section
from photofinish.perf.judge.verdict import (
    PartVerdict,
    Reason,
    Verdict,
    is_overloaded,
    limit_result,
    machine_reasons,
    primary_comparison,
    reasons_from_section,
)
from photofinish.perf.record.record import Arm, Record, Section

MAX_DISAGREEMENT = 0.10
"""Where perf_analyzer and our own closed loop differ by more than this, the report says it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One rung of a ladder against the rung before it. None for the first one, and where a median is missing.

    bought_ns: what the median became shorter by. latency_gain, rate_gain: ratios, above 1 is better.
    """

    summary: ArmSummary
    bought_ns: float | None
    latency_gain: float | None
    rate_gain: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """A row of a sweep in which the load generators disagree. ratio: of medians, perf_analyzer's over ours."""

    arm: Arm
    ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionFindings:
    """What one section amounts to. overloaded: keys of arms that could not keep the offered rate.

    steps: of a ladder. disagreements: of a sweep. disturbances: what disturbed the machine meanwhile.
    """

    section: Section
    summaries: tuple[ArmSummary, ...]
    stages: tuple[StageRow, ...]
    steps: tuple[Step, ...]
    overloaded: frozenset[str]
    disagreements: tuple[Disagreement, ...]
    disturbances: tuple[Reason, ...]

    @property
    def has_latency(self) -> bool:
        """Whether any request of it brought a result."""
        return any(block.samples.completed_count for block in self.section.blocks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """A record and all that follows from it."""

    record: Record
    sections: tuple[SectionFindings, ...]
    verdict: Verdict

    @property
    def primary(self) -> SectionFindings | None:
        """The section the headline and the limits are about."""
        section = primary_comparison(self.record)
        return next((item for item in self.sections if item.section is section), None)


def findings_from_record(record: Record) -> Findings:
    """The judgement, computed from the raw samples alone. Raises ConfigError for a limit nobody knows."""
    cores = record.environment.get("cpu_cores") or 1
    sections = tuple(findings_from_section(section, cores=cores) for section in record.sections)
    primary = primary_comparison(record)
    summaries = next((item.summaries for item in sections if item.section is primary), ())
    verdict = Verdict(
        parts=tuple(_part_verdict(item, record) for item in sections),
        limits=tuple(limit_result(name, limit, summaries) for name, limit in record.limits.items()),
    )
    return Findings(record=record, sections=sections, verdict=verdict)


def _part_verdict(found: SectionFindings, record: Record) -> PartVerdict:
    reasons = reasons_from_section(found.section, found.summaries, record)
    return PartVerdict(section=found.section, reasons=(*reasons, *found.disturbances))


def findings_from_section(section: Section, *, cores: int) -> SectionFindings:
    """What a section amounts to by itself. cores: of the machine that it was measured on."""
    summaries = summaries_from_section(section)
    return SectionFindings(
        section=section,
        summaries=summaries,
        stages=stage_rows(section),
        steps=_steps(summaries) if section.kind == "ladder" else (),
        overloaded=frozenset(item.arm.key for item in summaries if is_overloaded(section, item)),
        disagreements=_disagreements(summaries) if section.kind == "sweep" else (),
        disturbances=tuple(machine_reasons(section, cores)),
    )


def _steps(summaries: Sequence[ArmSummary]) -> tuple[Step, ...]:
    steps = []
    before: ArmSummary | None = None
    for item in summaries:
        old, new = before.latency["p50"] if before else None, item.latency["p50"]
        steps.append(
            Step(
                summary=item,
                bought_ns=old - new if old is not None and new is not None else None,
                latency_gain=old / new if old and new else None,
                rate_gain=item.frames_per_s / before.frames_per_s if before and before.frames_per_s else None,
            )
        )
        before = item
    return tuple(steps)


def _disagreements(summaries: Sequence[ArmSummary]) -> tuple[Disagreement, ...]:
    found = []
    ours = {_cell(item): item for item in summaries if item.arm.generator == "photofinish"}
    for item in summaries:
        own = ours.get(_cell(item))
        if item.arm.generator != "perf_analyzer" or own is None:
            continue
        theirs_ns, ours_ns = item.latency["p50"], own.latency["p50"]
        if theirs_ns and ours_ns and abs(theirs_ns / ours_ns - 1) > MAX_DISAGREEMENT:
            found.append(Disagreement(arm=item.arm, ratio=theirs_ns / ours_ns))
    return tuple(found)


def _cell(item: ArmSummary) -> tuple[str, int, int]:
    return item.arm.model, item.arm.batch_size, item.arm.concurrency
