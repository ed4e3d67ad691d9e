"""What a report says, in order, before it becomes text, Markdown or a page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from photofinish.percentiles import min_samples
from photofinish.perf.formatting import number, tick_label, times
from photofinish.perf.judge.findings import Findings, SectionFindings
from photofinish.perf.judge.speedups import USUALLY_PRINTED
from photofinish.perf.judge.verdict import Verdict
from photofinish.perf.record.observation import POWER_CAP
from photofinish.perf.record.record import Arm
from photofinish.perf.report.charts import distribution_chart, ladder_chart, load_chart, stage_chart, timeline_chart
from photofinish.perf.report.rival_table import rival_rows, speed_up_rows
from photofinish.perf.report.sweep_tables import classic_rows, sweep_rows, variant_rows
from photofinish.perf.report.tables import (
    Table,
    comparison_rows,
    engine_rows,
    fingerprint_rows,
    headline_rows,
    ladder_rows,
    limit_rows,
    part_rows,
    resource_rows,
    stage_table,
    without_empty,
)
from photofinish.perf.report.words import Words

TOLD_CLASS_LOSS = 0.1  # of mAP50-95: one of eighty classes moves the mean by a thousandth


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportPart:
    """One piece of a report. draw gives a chart's SVG of a width; only pages call it.

    style: how a page lays a table out; a `chapter` begins a page on paper.
    fold: the title under which it is folded away on a screen, not on paper.
    """

    kind: Literal["heading", "text", "table", "chart", "code", "details"]
    text: str = ""
    table: Table | None = None
    draw: Callable[[int], str] | None = None
    style: Literal["headline", "wide", "wide prose", "short", "chapter"] = "wide"
    fold: str = ""


def report_parts(findings: Findings, say: Words) -> list[ReportPart]:
    """Everything below the first screen: what fills the second page of paper, then the details."""
    record, primary = findings.record, findings.primary
    parts: list[ReportPart] = []
    if primary is not None and len(primary.summaries) >= 2:
        parts += [_heading("h_figures", say), _table(headline_rows(primary, say), say, style="headline")]
    parts += _speed_up_parts(findings, say)
    second = verdict_parts(findings.verdict, say) + _rival_parts(findings, say)
    for found in _measured(findings, "ladder"):
        second += [_heading("h_ladder", say), _chart(ladder_chart, found, say)]
    parts += [*second, *_detail_parts(findings, say)]
    parts.append(_heading("h_method", say))
    parts += [ReportPart(kind="text", text=note) for note in method_notes(findings, say)]
    parts.append(_heading("h_fingerprint", say))
    parts.append(ReportPart(kind="details", table=fingerprint_rows(record, say), fold=say("every_key")))
    parts += [_heading("h_repeat", say), ReportPart(kind="code", text=record.command)]
    return parts


def _detail_parts(findings: Findings, say: Words) -> list[ReportPart]:
    """What a reader looks up; at least a heading."""
    primary = findings.primary
    parts: list[ReportPart] = [replace(_heading("h_details", say), style="chapter")]
    for found in _measured(findings, "ladder"):
        parts += _ladder_parts(found, say)
    if primary is not None and len(primary.summaries) >= 2:
        parts += [_heading("h_resources", say), _table(resource_rows(primary, say), say, style="headline")]
    if primary is not None and primary.has_latency:
        parts += [_heading("h_distribution", say), _chart(distribution_chart, primary, say)]
    parts += _paced_parts(findings, say)
    for found in _measured(findings, "sweep"):
        parts += _sweep_parts(found, say)
    for found in findings.sections:
        if found.stages and (found is primary or found.section.kind in ("trace", "ladder")):
            parts += _stage_parts(found, say)
    for found in _measured(findings, "engine"):
        parts += [_heading("h_engine", say), _table(engine_rows(found, say), say)]
        parts += _not_run_parts(found, say)
    if primary is not None and primary.has_latency:
        parts += [_heading("h_timeline", say), _chart(timeline_chart, primary, say)]
    return parts


def text_parts(findings: Findings, say: Words) -> list[ReportPart]:
    """The parts without pictures, and without headings that then have nothing under them."""
    written = [part for part in report_parts(findings, say) if part.kind != "chart"]
    following = [*written[1:], ReportPart(kind="heading")]
    pairs = zip(written, following, strict=True)
    return [part for part, after in pairs if (part.kind, after.kind) != ("heading", "heading")]


def measured_text(findings: Findings, say: Words) -> str:
    """What a report is about that has no comparison."""
    heads = {"ladder": "h_ladder", "sweep": "h_sweep", "engine": "h_engine", "trace": "h_stages"}
    named = [
        say(heads[kind]) for kind in dict.fromkeys(found.section.kind for found in findings.sections) if kind in heads
    ]
    return say.comma.join(named) or say("report")


def verdict_parts(verdict: Verdict, say: Words) -> list[ReportPart]:
    """VALID, INVALID or in part, as a whole and part by part; reasons with advice, then the limits.

    Nothing where the first screen has said all of it.
    """
    if not verdict.reasons and not verdict.limits and len(verdict.parts) == 1:
        return []
    judged = say.comma.join(say(key) for key in (verdict.standing, verdict.outcome) if key)
    parts = [_heading("h_verdict", say), ReportPart(kind="text", text=judged + say.stop)]
    if len(verdict.parts) > 1 and not verdict.reasons:
        parts[1] = replace(parts[1], text=f"{judged}{say.colon}{_part_names(verdict, say)}{say.stop}")
    elif len(verdict.parts) > 1:
        parts.append(ReportPart(kind="table", table=part_rows(verdict, say), style="short"))
    parts += [ReportPart(kind="text", text=say.reason(reason)) for reason in verdict.reasons]
    if any(claim.reasons for claim in verdict.claims):
        parts.append(ReportPart(kind="text", text=say("note_void")))
    if verdict.limits:
        parts.append(ReportPart(kind="table", table=limit_rows(verdict, say)))
    return parts


def method_notes(findings: Findings, say: Words) -> list[str]:
    """How it was measured, and what a reader must know to read the figures right."""
    record = findings.record
    notes = [
        say("note_latency"),
        say("note_intervals"),
        say("note_percentiles", p95=min_samples(0.95), p99=min_samples(0.99)),
    ]
    for reason in ("enough", "time"):
        if ended := [item for item in record.sections if item.ended_by == reason]:
            named = [say("rounds_of", section=say.section(item), rounds=item.load.rounds) for item in ended]
            notes.append(say(f"note_ended_{reason}", sections=say.comma.join(named)))
    if drifted := [item for item in findings.sections if item.drift is not None and not item.is_void]:
        percent = [f"{say.section(item.section)} {100 * (item.drift or 0.0):+.0f} %" for item in drifted]
        notes.append(say("note_drift", sections=say.comma.join(percent)))
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
    notes += _accuracy_doubts(arms, say)
    if any(arm.untrained for arm in arms):
        notes.append(say("note_untrained"))
    if pruned := sorted({arm.model for arm in arms if any(arm.is_pruned_from(other) for other in arms)}):
        notes.append(say("note_weights_changed", models=", ".join(pruned)))
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


def _accuracy_doubts(arms: Sequence[Arm], say: Words) -> list[str]:
    """What speaks against variants that were published: no measurement, no decision, a class that a mean hides."""
    served = {arm.model: arm.accuracy for arm in arms if arm.contract}
    is_unknown = not any(served.values()) and not any(arm.untrained for arm in arms)
    told = [say("note_no_accuracy")] if served and is_unknown else []
    for model, found in sorted(served.items()):
        if found.get("passed") and found.get("note"):
            told.append(say("note_undecided", model=say.short(model), said=str(found["note"])))
        loss = found.get("worst_class_loss") or 0.0
        if found.get("map50_95") is not None and loss >= TOLD_CLASS_LOSS:
            name = str(found.get("worst_class"))
            told.append(say("note_lost_class", model=say.short(model), name=name, loss=f"{loss:.3f}"))
    return told


def _rectangular(arms: Iterable[Arm]) -> dict[tuple[int, int], set[str]]:
    """Models by the size of their input, where that is no square."""
    found: dict[tuple[int, int], set[str]] = {}
    for arm in arms:
        if arm.input_wh[0] != arm.input_wh[1]:
            found.setdefault(arm.input_wh, set()).add(arm.model)
    return found


def _part_names(verdict: Verdict, say: Words) -> str:
    return say.comma.join(say.section(part.section) for part in verdict.parts)


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
        _table(rival_rows(found, say), say),
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
        parts.append(_table(comparison_rows(found, say), say))
        for item in found.summaries:
            if item.arm.key in found.overloaded:
                note = say("note_overloaded", arm=say.arm(item.arm), rate=rate, fps=number(item.frames_per_s))
                parts.append(ReportPart(kind="text", text=note))
    return parts


def _ladder_parts(found: SectionFindings, say: Words) -> list[ReportPart]:
    return [
        _heading("h_steps", say),
        _table(ladder_rows(found, say), say, style="wide prose"),
        *_not_run_parts(found, say),
    ]


def _stage_parts(found: SectionFindings, say: Words) -> list[ReportPart]:
    return [
        _heading("h_stages_steps" if found.section.kind == "ladder" else "h_stages", say),
        _chart(stage_chart, found, say),
        _table(stage_table(found, say), say),
    ]


def _sweep_parts(found: SectionFindings, say: Words) -> list[ReportPart]:
    parts = [_heading("h_sweep", say), _table(variant_rows(found, say), say), _chart(load_chart, found, say)]
    every = _table(sweep_rows(found, say), say)
    parts.append(replace(every, fold=say("every_row")))
    if classic := classic_rows(found, say):
        parts += [_heading("h_classic", say), _table(classic, say)]
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


def _table(table: Table, say: Words, *, style: Literal["headline", "wide", "wide prose"] = "wide") -> ReportPart:
    return ReportPart(kind="table", table=without_empty(table, say), style=style)


def _heading(key: str, say: Words) -> ReportPart:
    return ReportPart(kind="heading", text=say(key))


def _chart(draw: Callable[[SectionFindings, Words, int], str], found: SectionFindings, say: Words) -> ReportPart:
    return ReportPart(kind="chart", draw=partial(draw, found, say))
