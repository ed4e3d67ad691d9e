"""The gate's table."""

from __future__ import annotations

from perf.accuracy_gate import GateReport, Verdict
from perf.formatting import MISSING, number

HEADER = (
    "variant",
    "mAP50-95",
    "mAP50",
    "kept",
    "floor",
    "matched",
    "box error mean/worst (px)",
    "confidence error",
    "verdict",
)
KIND_NOTES = {
    "labelled": "against labels",
    "synthetic": "against the camera's exact boxes",
    "unlabelled": "no labels: agreement with the baseline, kept = share of matching boxes",
}


def table_from_report(report: GateReport) -> str:
    """The table in aligned columns, under one line that says what was measured on which frames."""
    rows = [HEADER, *(_cells(verdict, report.baseline) for verdict in report.verdicts)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([f"accuracy through the server: {report.dataset} ({KIND_NOTES[report.kind]})", *lines])


def markdown_from_report(report: GateReport) -> str:
    """The table in Markdown."""
    rows = [HEADER, tuple("---" for _ in HEADER), *(_cells(verdict, report.baseline) for verdict in report.verdicts)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _cells(verdict: Verdict, baseline: str) -> tuple[str, ...]:
    result = verdict.result
    is_baseline = verdict.name == baseline
    return (
        verdict.name,
        _share(result.map50_95),
        _share(result.map50),
        MISSING if result.share is None else f"{result.share:.2%}",
        MISSING if is_baseline else f"{verdict.floor:.0%}",
        MISSING if result.matched_share is None else f"{result.matched_share:.2%}",
        f"{number(result.mean_box_error_px)} / {number(result.worst_box_error_px)}",
        number(result.worst_confidence_error),
        _word(verdict, is_baseline),
    )


def _share(value: float | None) -> str:
    return MISSING if value is None else f"{value:.4f}"


def _word(verdict: Verdict, is_baseline: bool) -> str:
    if is_baseline:
        return "baseline"
    if not verdict.passed:
        return "REFUSED"
    return "not decided" if verdict.reason else "passed"
