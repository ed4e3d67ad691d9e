"""What a report says, in order, before it becomes text, Markdown or a page."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from photofinish.percentiles import min_samples
from photofinish.perf.formatting import number, tick_label, times
from photofinish.perf.judge.generators import generator_disagreements
from photofinish.perf.judge.stages import stage_rows
from photofinish.perf.judge.summary import summaries_from_section
from photofinish.perf.judge.verdict import Verdict, is_overloaded, primary_comparison, verdict_from_record
from photofinish.perf.record.observation import POWER_CAP
from photofinish.perf.record.record import Arm, Record, Section
from photofinish.perf.report.charts import distribution_chart, ladder_chart, load_chart, stage_chart, timeline_chart
from photofinish.perf.report.classic_table import classic_rows
from photofinish.perf.report.recorded_words import translated
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
from photofinish.perf.report.words import section_title, word


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportPart:
    """One piece of a report. draw gives a chart's SVG; only pages call it. style: how a page lays a table out."""

    kind: Literal["heading", "text", "table", "chart", "code", "details"]
    text: str = ""
    table: Table | None = None
    draw: Callable[[], str] | None = None
    style: Literal["wide", "wide prose", "short"] = "wide"


def report_parts(record: Record, *, lang: str = "en") -> list[ReportPart]:
    """Everything below the title, the headline table first."""
    verdict = verdict_from_record(record)
    primary = primary_comparison(record)
    parts: list[ReportPart] = []
    if primary is not None and len(summaries_from_section(primary)) >= 2:
        parts.append(ReportPart(kind="table", table=headline_rows(primary, lang=lang)))
    parts += verdict_parts(verdict, lang)
    has_latency = primary is not None and any(block.samples.completed_count for block in primary.blocks)
    if primary is not None and has_latency:
        parts += _heading("h_distribution", lang)
        parts.append(ReportPart(kind="chart", draw=partial(distribution_chart, primary, lang=lang)))
    sweeps = [section for section in record.sections if section.kind == "sweep" and section.blocks]
    for section in sweeps:
        parts += _heading("h_load", lang)
        parts.append(ReportPart(kind="chart", draw=partial(load_chart, section, lang=lang)))
    parts += _paced_parts(record, primary, lang)
    for section in record.sections:
        if section.kind == "ladder" and section.blocks:
            parts += _ladder_parts(section, lang)
    for section in record.sections:
        if section is primary or section.kind in ("trace", "ladder"):
            parts += _stage_parts(section, lang)
    for section in sweeps:
        parts += _sweep_parts(section, lang)
    for section in record.sections:
        if section.kind == "engine" and section.blocks:
            parts += [*_heading("h_engine", lang), ReportPart(kind="table", table=engine_rows(section, lang=lang))]
            parts += _not_run_parts(section, lang)
    if primary is not None and has_latency:
        parts += _heading("h_timeline", lang)
        parts.append(ReportPart(kind="chart", draw=partial(timeline_chart, primary, lang=lang)))
    parts += _heading("h_method", lang)
    parts += [ReportPart(kind="text", text=note) for note in method_notes(record, lang)]
    parts += [*_heading("h_fingerprint", lang), ReportPart(kind="details", table=fingerprint_rows(record, lang=lang))]
    parts += [*_heading("h_repeat", lang), ReportPart(kind="code", text=record.command)]
    return parts


def text_parts(record: Record, *, lang: str = "en") -> list[ReportPart]:
    """The parts without pictures, and without headings that then have nothing under them."""
    written = [part for part in report_parts(record, lang=lang) if part.kind != "chart"]
    following = [*written[1:], ReportPart(kind="heading")]
    pairs = zip(written, following, strict=True)
    return [part for part, after in pairs if (part.kind, after.kind) != ("heading", "heading")]


def headline(record: Record, *, lang: str = "en") -> tuple[str, str]:
    """The one sentence a reader takes away, and its confidence; ("", "") without a comparison.

    A comparison that is not valid claims nothing; whether the other parts are valid stands beside it.
    """
    primary = primary_comparison(record)
    summaries = summaries_from_section(primary) if primary else ()
    gain = summaries[1].gain("p50") if len(summaries) >= 2 else None
    if gain is None:
        return "", ""
    if primary is None or not verdict_from_record(record).is_valid(primary.name):
        return word("headline_invalid", lang), ""
    sure = word("interval_note", lang, low=number(gain.low), high=number(gain.high))
    if gain.holds(1.0):
        return word("headline_none", lang), sure
    key = "headline" if gain.estimate > 1 else "headline_slower"
    values = {"gain": times(gain.estimate), "plain": number(gain.estimate), "inverse": number(1 / gain.estimate)}
    return word(key, lang, **values), sure


def verdict_parts(verdict: Verdict, lang: str) -> list[ReportPart]:
    """VALID or INVALID as a whole and part by part, reasons with advice, then the limits."""
    comma, stop = (", ", ".") if lang == "en" else ("，", "。")
    judged = comma.join(word(key, lang) for key in (verdict.validity, verdict.outcome) if key)
    parts = [*_heading("h_verdict", lang), ReportPart(kind="text", text=judged + stop)]
    if len(verdict.parts) > 1:
        parts.append(ReportPart(kind="table", table=part_rows(verdict, lang=lang), style="short"))
    if not verdict.reasons:
        parts.append(ReportPart(kind="text", text=word("valid_note", lang)))
    for reason in verdict.reasons:
        values = {key: _said(key, value, lang) for key, value in reason.values.items()}
        said, advice = (word(f"{kind}_{reason.key}", lang, **values) for kind in ("reason", "advice"))
        parts.append(
            ReportPart(kind="text", text=f"{said}; {advice}{stop}" if lang == "en" else f"{said}；{advice}{stop}")
        )
    if verdict.limits:
        parts.append(ReportPart(kind="table", table=limit_rows(verdict, lang=lang)))
    return parts


def _said(key: str, value: object, lang: str) -> object:
    """A value of a reason in the report's language."""
    if key == "section":
        return section_title(str(value), lang)
    if isinstance(value, str):
        return ", ".join(translated(part, lang) for part in value.split(", "))
    return value


def method_notes(record: Record, lang: str) -> list[str]:
    """How it was measured, and what a reader must know to read the figures right."""
    notes = [
        word("note_latency", lang),
        word("note_intervals", lang),
        word("note_percentiles", lang, p95=min_samples(0.95), p99=min_samples(0.99)),
    ]
    arms = [arm for section in record.sections for arm in section.arms]
    if record.harness:
        closed, opened = record.harness.closed_loop_p95_ns / 1000, record.harness.open_loop_p95_ns / 1000
        notes.append(word("note_harness", lang, closed=number(closed), open=number(opened)))
    methods = {gpu.memory_method for section in record.sections for block in section.blocks
               for gpu in block.observed.gpus}  # fmt: skip
    notes += [word("note_memory", lang, method=translated(method, lang)) for method in sorted(methods)]
    if measured := next((arm.accuracy for arm in arms if arm.accuracy.get("dataset")), None):
        dataset = str(measured["dataset"])
        if not dataset.endswith(" frames"):
            dataset = f"{dataset}, {measured.get('frames', '?')} frames"
        kind = translated(str(measured.get("kind", "?")), lang)
        notes.append(word("note_accuracy", lang, kind=kind, dataset=translated(dataset, lang)))
    if any(arm.untrained for arm in arms):
        notes.append(word("note_untrained", lang))
    if any(arm.tf32 for arm in arms if arm.role == "baseline"):
        notes.append(word("note_tf32", lang))
    elif any(arm.precision == "fp32" and arm.device == "cuda" for arm in arms):
        notes.append(word("note_no_tf32", lang))
    watched = [block.observed.gpus for section in record.sections for block in section.blocks if block.observed.gpus]
    if capped := sum(any(POWER_CAP in gpu.throttle_reasons for gpu in gpus) for gpus in watched):
        notes.append(word("note_power_cap", lang, found=capped, all=len(watched)))
    notes += [
        word("note_input", lang, models=", ".join(sorted(models)), size="{} × {}".format(*input_wh))
        for input_wh, models in _rectangular(arms).items()
    ]
    if any(arm.span != "engine" for arm in arms):
        notes.append(word(f"note_memory_{record.environment.get('client_memory', 'plain')}", lang))
    if server := record.environment.get("server"):
        kind, version = (translated(str(server.get(key, "?")), lang) for key in ("kind", "version"))
        notes.append(word("note_server_kind", lang, kind=kind, version=version))
    return [*notes, *record.notes]


def _rectangular(arms: Iterable[Arm]) -> dict[tuple[int, int], set[str]]:
    """Models by the size of their input, where that is no square."""
    found: dict[tuple[int, int], set[str]] = {}
    for arm in arms:
        if arm.input_wh[0] != arm.input_wh[1]:
            found.setdefault(arm.input_wh, set()).add(arm.model)
    return found


def _paced_parts(record: Record, primary: Section | None, lang: str) -> list[ReportPart]:
    paced = [
        section
        for section in record.sections
        if section.kind == "comparison" and section is not primary and section.blocks
    ]
    parts = _heading("h_paced", lang) if paced else []
    for section in paced:
        if section.load.rate_rps:
            parts.append(ReportPart(kind="text", text=word("paced_name", lang, rate=tick_label(section.load.rate_rps))))
        parts.append(ReportPart(kind="table", table=comparison_rows(section, lang=lang)))
        for item in summaries_from_section(section):
            if is_overloaded(section, item):
                values = {"arm": item.arm.label, "rate": tick_label(section.load.rate_rps)}
                note = word("note_overloaded", lang, fps=number(item.frames_per_s), **values)
                parts.append(ReportPart(kind="text", text=note))
    return parts


def _ladder_parts(section: Section, lang: str) -> list[ReportPart]:
    return [
        *_heading("h_ladder", lang),
        ReportPart(kind="chart", draw=partial(ladder_chart, section, lang=lang)),
        ReportPart(kind="table", table=ladder_rows(section, lang=lang), style="wide prose"),
        *_not_run_parts(section, lang),
    ]


def _stage_parts(section: Section, lang: str) -> list[ReportPart]:
    if not stage_rows(section):
        return []
    return [
        *_heading("h_stages_steps" if section.kind == "ladder" else "h_stages", lang),
        ReportPart(kind="chart", draw=partial(stage_chart, section, lang=lang)),
        ReportPart(kind="table", table=stage_table(section, lang=lang)),
    ]


def _sweep_parts(section: Section, lang: str) -> list[ReportPart]:
    parts: list[ReportPart] = []
    if classic := classic_rows(section, lang=lang):
        parts += [*_heading("h_classic", lang), ReportPart(kind="table", table=classic)]
    parts += [*_heading("h_sweep", lang), ReportPart(kind="table", table=sweep_rows(section, lang=lang))]
    parts.append(ReportPart(kind="text", text=word("note_sweep", lang)))
    differing = generator_disagreements(section)
    if differing:
        parts += [
            ReportPart(
                kind="text",
                text=word("note_disagreement", lang, row=translated(row, lang), ratio=times(ratio)),
            )
            for row, ratio in differing
        ]
    elif len({arm.generator for arm in section.arms}) > 1:
        parts.append(ReportPart(kind="text", text=word("note_generators", lang)))
    return [*parts, *_not_run_parts(section, lang)]


def _not_run_parts(section: Section, lang: str) -> list[ReportPart]:
    colon, semicolon, stop = (": ", "; ", ".") if lang == "en" else ("：", "；", "。")
    items = [f"{translated(item.label, lang)}{colon}{translated(item.reason, lang)}" for item in section.not_run]
    return (
        [ReportPart(kind="text", text=f"{word('h_not_run', lang)}{colon}{semicolon.join(items)}{stop}")]
        if items
        else []
    )


def _heading(key: str, lang: str) -> list[ReportPart]:
    return [ReportPart(kind="heading", text=word(key, lang))]
