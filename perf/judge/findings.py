"""A record judged once: figures, stages, steps and verdicts, from which every report is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from photofinish.perf.judge.claims import Claim, claim_of, claims_from_section
from photofinish.perf.judge.reasons import Reason, common_drift, is_overloaded, machine_reasons, reasons_from_section
from photofinish.perf.judge.speedups import SpeedUp, speed_ups
from photofinish.perf.judge.stages import StageRow, stage_rows
from photofinish.perf.judge.summary import ArmSummary, summaries_from_section
from photofinish.perf.judge.verdict import LimitResult, PartVerdict, Verdict, limit_result, primary_comparison
from photofinish.perf.record.record import Arm, Harness, Record, Section

MAX_DISAGREEMENT = 0.10
"""Where perf_analyzer and our own closed loop differ by more than this, the report says it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One rung of a ladder against the rung before it. None for the first one, and where a figure is missing.

    bought_ns: what the median became shorter by. latency, rate: what is claimed of the median and of frames a second.
    """

    summary: ArmSummary
    bought_ns: float | None
    latency: Claim | None
    rate: Claim | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """A row of a sweep in which the load generators disagree. ratio: of medians, perf_analyzer's over ours."""

    arm: Arm
    ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionFindings:
    """What one section amounts to. overloaded: keys of arms that could not keep the offered rate.

    steps: of a ladder. disagreements: of a sweep. disturbances: what disturbed the machine meanwhile.
    claims: what it states, each with its verdict; at least one. drift: by which share the machine's own speed changed
    meanwhile, for all arms alike as far as nothing speaks against their gains; None where it did not.
    """

    section: Section
    summaries: tuple[ArmSummary, ...]
    stages: tuple[StageRow, ...]
    steps: tuple[Step, ...]
    overloaded: frozenset[str]
    disagreements: tuple[Disagreement, ...]
    disturbances: tuple[Reason, ...]
    claims: tuple[Claim, ...]
    drift: float | None = None

    @property
    def is_void(self) -> bool:
        """Whether nothing that it states about time may be believed."""
        return all(claim.reasons for claim in self.claims if claim.is_timed)

    def gain(self, arm: Arm, figure: str) -> Claim | None:
        """What is claimed of an arm against the first one; None where nothing is."""
        return claim_of(self.claims, "gain", figure, arm)

    @property
    def has_latency(self) -> bool:
        """Whether any request of it brought a result."""
        return any(block.samples.completed_count for block in self.section.blocks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """A record and all that follows from it. speed_ups: engine, server, transport and end to end of the primary
    comparison, as far as they are known."""

    record: Record
    sections: tuple[SectionFindings, ...]
    verdict: Verdict
    speed_ups: tuple[SpeedUp, ...] = ()

    @property
    def primary(self) -> SectionFindings | None:
        """The section the headline and the limits are about."""
        section = primary_comparison(self.record)
        return next((item for item in self.sections if item.section is section), None)

    @property
    def rivals(self) -> SectionFindings | None:
        """The section in which ours stands beside what a user would run instead."""
        return next((item for item in self.sections if item.section.kind == "rivals" and item.summaries), None)

    @property
    def rival_headlines(self) -> tuple[Claim, ...]:
        """Our gain in median latency over each program of others, plain PyTorch first."""
        found = self.rivals.claims if self.rivals else ()
        return tuple(item for item in found if item.figure == "p50" and item.against and not item.against.role)

    @property
    def claims(self) -> tuple[Claim, ...]:
        """All that the record states, each with its own verdict, in the order of its sections."""
        return self.verdict.claims

    @property
    def headline(self) -> Claim | None:
        """The gain in median latency of the primary section's second arm; None where none can be stated."""
        primary = self.primary
        if primary is None or len(primary.summaries) < 2:
            return None
        return primary.gain(primary.summaries[1].arm, "p50")


def findings_from_record(record: Record) -> Findings:
    """The judgement, computed from the raw samples alone. Raises ConfigError for a limit nobody knows."""
    cores = record.environment.get("cpu_cores") or 1
    primary = primary_comparison(record)
    sections = tuple(
        findings_from_section(
            section,
            cores=cores,
            harness=record.harness,
            is_primary=section is primary,
            network=primary.arms[0] if primary is not None and primary.arms else None,
        )
        for section in record.sections
    )
    summaries = next((item.summaries for item in sections if item.section is primary), ())
    claims = next((item.claims for item in sections if item.section is primary), ())
    verdict = Verdict(
        parts=tuple(PartVerdict(section=item.section, claims=item.claims) for item in sections),
        limits=tuple(_believed(limit_result(name, limit, summaries), claims) for name, limit in record.limits.items()),
    )
    speeds = speed_ups(primary, summaries) if primary is not None else ()
    return Findings(record=record, sections=sections, verdict=verdict, speed_ups=speeds)


_CLAIMED = {"p95_ms": "p95", "p99_ms": "p99", "min_fps": "frames_per_s", "min_speedup": "p50",
            "min_map": "map50_95", "max_gpu_memory_mib": "gpu_memory"}  # fmt: skip
"""The figure that a limit is about, as the claims name it."""


def _believed(result: LimitResult, claims: Sequence[Claim]) -> LimitResult:
    """A limit is not kept by a figure that nobody may quote."""
    is_void = any(claim.reasons for claim in claims if claim.figure == _CLAIMED[result.name])
    return replace(result, outcome="INCONCLUSIVE") if is_void and result.outcome == "PASS" else result


def findings_from_section(
    section: Section,
    *,
    cores: int,
    harness: Harness | None = None,
    is_primary: bool = False,
    network: Arm | None = None,
) -> SectionFindings:
    """What a section amounts to by itself. cores: of the machine that it was measured on.

    harness: what the load generator costs there. is_primary: whether the headline is about it. network: an arm of the
    network that the whole record is about.
    """
    summaries = summaries_from_section(section)
    disturbances = tuple(machine_reasons(section, cores))
    reasons = reasons_from_section(section, summaries, harness=harness, is_primary=is_primary, network=network)
    claims = claims_from_section(section, summaries, (*reasons, *disturbances))
    return SectionFindings(
        section=section,
        summaries=summaries,
        stages=stage_rows(section),
        steps=_steps(summaries, claims) if section.kind == "ladder" else (),
        overloaded=frozenset(item.arm.key for item in summaries if is_overloaded(section, item)),
        disagreements=_disagreements(summaries) if section.kind == "sweep" else (),
        disturbances=disturbances,
        claims=claims,
        drift=common_drift(section, summaries),
    )


def _steps(summaries: Sequence[ArmSummary], claims: Sequence[Claim]) -> tuple[Step, ...]:
    steps = []
    for before, item in zip((None, *summaries), summaries, strict=False):
        old, new = before.latency["p50"] if before else None, item.latency["p50"]
        steps.append(
            Step(
                summary=item,
                bought_ns=old - new if old is not None and new is not None else None,
                latency=claim_of(claims, "step", "p50", item.arm),
                rate=claim_of(claims, "step", "frames_per_s", item.arm),
            )
        )
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
