"""What a report says, in order, before it becomes text, Markdown or a page."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from photofinish.percentiles import min_samples
from photofinish.perf.formatting import number, tick_label, times
from photofinish.perf.judge.findings import Findings, SectionFindings
from photofinish.perf.judge.speedups import USUALLY_PRINTED
from photofinish.perf.judge.verdict import Verdict
from photofinish.perf.record.observation import POWER_CAP
from photofinish.perf.record.record import Arm, Record
from photofinish.perf.report.charts import distribution_chart, ladder_chart, load_chart, stage_chart, timeline_chart
from photofinish.perf.report.classic_table import classic_rows
from photofinish.perf.report.rival_table import rival_rows, speed_up_rows
from photofinish.perf.report.tables import (
    Table,
    comparison_rows,
    engine_rows,
    fingerprint_rows,
    headline_rows,
    ladder_rows,
    limit_rows,
    part_rows,
    stage_table,
    sweep_rows,
)
from photofinish.perf.report.words import Words


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportPart:
    """One piece of a report. draw gives a chart's SVG; only pages call it. style: how a page lays a table out."""

    kind: Literal["heading", "text", "table", "chart", "code", "details"]
    text: str = ""
    table: Table | None = None
    draw: Callable[[], str] | None = None
    style: Literal["wide", "wide prose", "short"] = "wide"


def report_parts(findings: Findings, say: Words) -> list[ReportPart]:
    """Everything below the title, the headline table first."""
    record, primary = findings.record, findings.primary
    parts: list[ReportPart] = []
    if primary is not None and len(primary.summaries) >= 2:
        parts.append(ReportPart(kind="table", table=headline_rows(primary, say)))
    parts += verdict_parts(findings.verdict, say)
    parts += _speed_up_parts(findings, say) + _rival_parts(findings, say)
    if primary is not None and primary.has_latency:
        parts += [_heading("h_distribution", say), _chart(distribution_chart, primary, say)]
    for found in _measured(findings, "sweep"):
        parts += [_heading("h_load", say), _chart(load_chart, found, say)]
    parts += _paced_parts(findings, say)
    for found in _measured(findings, "ladder"):
        parts += _ladder_parts(found, say)
    for found in findings.sections:
        if found.stages and (found is primary or found.section.kind in ("trace", "ladder")):
            parts += _stage_parts(found, say)
    for found in _measured(findings, "sweep"):
        parts += _sweep_parts(found, say)
    for found in _measured(findings, "engine"):
        parts += [_heading("h_engine", say), ReportPart(kind="table", table=engine_rows(found, say))]
        parts += _not_run_parts(found, say)
    if primary is not None and primary.has_latency:
        parts += [_heading("h_timeline", say), _chart(timeline_chart, primary, say)]
    parts.append(_heading("h_method", say))
    parts += [ReportPart(kind="text", text=note) for note in method_notes(record, say)]
    parts += [_heading("h_fingerprint", say), ReportPart(kind="details", table=fingerprint_rows(record, say))]
    parts += [_heading("h_repeat", say), ReportPart(kind="code", text=record.command)]
    return parts


def text_parts(findings: Findings, say: Words) -> list[ReportPart]:
    """The parts without pictures, and without headings that then have nothing under them."""
    written = [part for part in report_parts(findings, say) if part.kind != "chart"]
    following = [*written[1:], ReportPart(kind="heading")]
    pairs = zip(written, following, strict=True)
    return [part for part, after in pairs if (part.kind, after.kind) != ("heading", "heading")]


def headline(findings: Findings, say: Words) -> tuple[str, str]:
    """The one sentence a reader takes away, and its confidence; ("", "") without a comparison.

    A gain that is not valid is not claimed; whether the other claims are valid stands beside it.
    """
    claim = findings.headline
    if claim is None or claim.value is None:
        return "", ""
    if claim.reasons:
        return say("headline_invalid"), ""
    low, high = (claim.interval.low, claim.interval.high) if claim.interval else (claim.value, claim.value)
    sure = say("interval_note", low=number(low), high=number(high))
    if not claim.shows_difference:
        return say("headline_none"), sure
    key = "headline" if claim.value > 1 else "headline_slower"
    values = {"gain": times(claim.value), "plain": number(claim.value), "inverse": number(1 / claim.value)}
    return say.semicolon.join([say(key, **values), *_rival_headlines(findings, say)]), sure


def _rival_headlines(findings: Findings, say: Words) -> list[str]:
    """The gain over what a user would run instead, in the same breath as that over the tutorials' way."""
    return [
        say("headline_rival", gain=times(claim.value), rival=say.arm(claim.against))
        for claim in findings.rival_headlines
        if claim.against and claim.value and not claim.reasons and claim.shows_difference
    ]


def verdict_parts(verdict: Verdict, say: Words) -> list[ReportPart]:
    """VALID, INVALID or in part, as a whole and part by part; reasons with advice, then the limits."""
    judged = say.comma.join(say(key) for key in (verdict.standing, verdict.outcome) if key)
    parts = [_heading("h_verdict", say), ReportPart(kind="text", text=judged + say.stop)]
    if len(verdict.parts) > 1:
        parts.append(ReportPart(kind="table", table=part_rows(verdict, say), style="short"))
    if not verdict.reasons:
        parts.append(ReportPart(kind="text", text=say("valid_note")))
    parts += [ReportPart(kind="text", text=say.reason(reason)) for reason in verdict.reasons]
    if any(claim.reasons for claim in verdict.claims):
        parts.append(ReportPart(kind="text", text=say("note_void")))
    if verdict.limits:
        parts.append(ReportPart(kind="table", table=limit_rows(verdict, say)))
    return parts


def method_notes(record: Record, say: Words) -> list[str]:
    """How it was measured, and what a reader must know to read the figures right."""
    notes = [
        say("note_latency"),
        say("note_intervals"),
        say("note_percentiles", p95=min_samples(0.95), p99=min_samples(0.99)),
    ]
    arms = [arm for section in record.sections for arm in section.arms]
    if record.harness:
        closed, opened = record.harness.closed_loop_p95_ns / 1000, record.harness.open_loop_p95_ns / 1000
        notes.append(say("note_harness", closed=number(closed), open=number(opened)))
    watched = [block.observed.gpus for section in record.sections for block in section.blocks if block.observed.gpus]
    methods = {gpu.memory_method for gpus in watched for gpu in gpus}
    notes += [say("note_memory", method=say.named("memory", method)) for method in sorted(methods)]
    if measured := next((arm.accuracy for arm in arms if arm.accuracy.get("dataset")), None):
        dataset = say.dataset(str(measured["dataset"]), measured.get("frames", "?"))
        notes.append(say("note_accuracy", kind=say.named("frames", str(measured.get("kind", "?"))), dataset=dataset))
    if any(arm.untrained for arm in arms):
        notes.append(say("note_untrained"))
    if any(arm.tf32 for arm in arms if arm.role == "baseline"):
        notes.append(say("note_tf32"))
    elif any(arm.precision == "fp32" and arm.device == "cuda" for arm in arms):
        notes.append(say("note_no_tf32"))
    if capped := sum(any(POWER_CAP in gpu.throttle_reasons for gpu in gpus) for gpus in watched):
        notes.append(say("note_power_cap", found=capped, all=len(watched)))
    notes += [
        say("note_input", models=", ".join(sorted(models)), size="{} × {}".format(*input_wh))
        for input_wh, models in _rectangular(arms).items()
    ]
    if any(arm.span != "engine" for arm in arms):
        notes.append(say(f"note_memory_{record.environment.get('client_memory', 'plain')}"))
    if server := record.environment.get("server"):
        kind, version = (say.named("server", str(server.get(key, "?"))) for key in ("kind", "version"))
        notes.append(say("note_server_kind", kind=kind, version=version))
    return notes


def _rectangular(arms: Iterable[Arm]) -> dict[tuple[int, int], set[str]]:
    """Models by the size of their input, where that is no square."""
    found: dict[tuple[int, int], set[str]] = {}
    for arm in arms:
        if arm.input_wh[0] != arm.input_wh[1]:
            found.setdefault(arm.input_wh, set()).add(arm.model)
    return found


def _measured(findings: Findings, kind: str) -> list[SectionFindings]:
    return [found for found in findings.sections if found.section.kind == kind and found.section.blocks]


def _speed_up_parts(findings: Findings, say: Words) -> list[ReportPart]:
    if not findings.speed_ups:
        return []
    is_void = findings.headline is None or bool(findings.headline.reasons)
    printed = say(f"speed_up_{USUALLY_PRINTED}")
    return [
        _heading("h_speed_ups", say),
        ReportPart(kind="table", table=speed_up_rows(findings.speed_ups, say, is_void=is_void), style="short"),
        ReportPart(kind="text", text=say("note_speed_ups", printed=printed)),
    ]


def _rival_parts(findings: Findings, say: Words) -> list[ReportPart]:
    if (found := findings.rivals) is None:
        return []
    return [
        _heading("h_rivals", say),
        ReportPart(kind="table", table=rival_rows(found, say)),
        ReportPart(kind="text", text=say("note_rivals")),
        *_not_run_parts(found, say),
    ]


def _paced_parts(findings: Findings, say: Words) -> list[ReportPart]:
    paced = [found for found in _measured(findings, "comparison") if found is not findings.primary]
    parts = [_heading("h_paced", say)] if paced else []
    for found in paced:
        rate = tick_label(found.section.load.rate_rps)
        if found.section.load.rate_rps:
            parts.append(ReportPart(kind="text", text=say("paced_name", rate=rate)))
        parts.append(ReportPart(kind="table", table=comparison_rows(found, say)))
        for item in found.summaries:
            if item.arm.key in found.overloaded:
                note = say("note_overloaded", arm=say.arm(item.arm), rate=rate, fps=number(item.frames_per_s))
                parts.append(ReportPart(kind="text", text=note))
    return parts


def _ladder_parts(found: SectionFindings, say: Words) -> list[ReportPart]:
    return [
        _heading("h_ladder", say),
        _chart(ladder_chart, found, say),
        ReportPart(kind="table", table=ladder_rows(found, say), style="wide prose"),
        *_not_run_parts(found, say),
    ]


def _stage_parts(found: SectionFindings, say: Words) -> list[ReportPart]:
    return [
        _heading("h_stages_steps" if found.section.kind == "ladder" else "h_stages", say),
        _chart(stage_chart, found, say),
        ReportPart(kind="table", table=stage_table(found, say)),
    ]


def _sweep_parts(found: SectionFindings, say: Words) -> list[ReportPart]:
    parts: list[ReportPart] = []
    if classic := classic_rows(found, say):
        parts += [_heading("h_classic", say), ReportPart(kind="table", table=classic)]
    parts += [_heading("h_sweep", say), ReportPart(kind="table", table=sweep_rows(found, say))]
    parts.append(ReportPart(kind="text", text=say("note_sweep")))
    if found.disagreements:
        parts += [
            ReportPart(kind="text", text=say("note_disagreement", row=say.arm(item.arm), ratio=times(item.ratio)))
            for item in found.disagreements
        ]
    elif len({arm.generator for arm in found.section.arms}) > 1:
        parts.append(ReportPart(kind="text", text=say("note_generators")))
    return [*parts, *_not_run_parts(found, say)]


def _not_run_parts(found: SectionFindings, say: Words) -> list[ReportPart]:
    listed = say.not_run(found.section.not_run)
    return [ReportPart(kind="text", text=listed)] if listed else []


def _heading(key: str, say: Words) -> ReportPart:
    return ReportPart(kind="heading", text=say(key))


def _chart(draw: Callable[[SectionFindings, Words], str], found: SectionFindings, say: Words) -> ReportPart:
    return ReportPart(kind="chart", draw=partial(draw, found, say))
