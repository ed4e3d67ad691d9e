"""What the gate shows and leaves: its progress bar, its table, and the JSON of `results/accuracy_*.json`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from tqdm import tqdm

from photofinish.perf.accuracy.answers import OnFrame, ignore_frame
from photofinish.perf.accuracy.gate import GateCandidate, GateReport, GateVerdict
from photofinish.perf.formatting import MISSING, number
from photofinish.perf.record.environment import environment_fingerprint, utc_now

SCHEMA_VERSION = 1
LOG_EVERY_S = 10.0
"""Between two lines of a bar that goes into a file or a pipe."""
HEADER = (
    "variant",
    "mAP50-95",
    "mAP50",
    "kept",
    "floor",
    "matched",
    "box error mean/worst (px)",
    "confidence error mean/worst",
    "request P50 (ms)",
    "verdict",
)
POINT_HEADER = ("OKS-mAP50-95", "point error to labels", "point error mean/worst")
"""Columns of models with keypoints, in front of the time; errors in percent of the box's diagonal."""
STAR = "*"
BITS = {"fp32": 32, "fp16": 16, "bf16": 16, "int8": 8, "fp8": 8}
KIND_NOTES = {
    "labelled": "against labels",
    "synthetic": "against the camera's exact boxes",
    "unlabelled": "no labels: agreement with the baseline, kept = share of matching boxes",
}


@contextmanager
def frame_bar(also: OnFrame = ignore_frame) -> Iterator[OnFrame]:
    """A bar on stderr, one round for each model; the block gets the function that moves it. also: hears the same."""
    bar: tqdm | None = None
    current = ""

    def step(name: str, done: int, total: int) -> None:
        nonlocal bar, current
        also(name, done, total)
        if bar is None or name != current or done < bar.n:
            if bar is not None:
                bar.close()
            bar = tqdm(total=total, unit="frame", desc=name, mininterval=0.1 if sys.stderr.isatty() else LOG_EVERY_S)
            current = name
        bar.update(done - bar.n)
        if done == total:  # what is computed now is none of this model's time
            bar.close()
            bar = None

    try:
        yield step
    finally:
        if bar is not None:
            bar.close()


def table_from_report(report: GateReport) -> str:
    """The table in aligned columns, under one line that says what was measured on which frames.

    A star stands at figures that are off because of the data set; the lines with a star under the table say why.
    """
    results = [verdict.result for verdict in report.verdicts]
    has_points = any(item.mean_point_error is not None or item.oks_map50_95 is not None for item in results)
    header = (*HEADER[:-2], *(POINT_HEADER if has_points else ()), *HEADER[-2:])
    rows = [header, *(_cells(verdict, report, has_points) for verdict in report.verdicts)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    title = f"accuracy through the server: {report.dataset} ({KIND_NOTES[report.kind]})"
    return "\n".join([title, *lines, *(f"{STAR} {note}" for note in report.dataset_notes), *slower_lines(report)])


def slower_lines(report: GateReport) -> list[str]:
    """One line for each variant in a lower precision that is slower here than one in a higher precision."""
    lines = []
    for verdict in report.verdicts:
        others = [
            other
            for other in report.verdicts
            if other.name != report.baseline
            and other.backend == verdict.backend
            and BITS[other.precision] > BITS[verdict.precision]
            and other.result.request_p50_ms < verdict.result.request_p50_ms
        ]
        if others and verdict.name != report.baseline:
            best = min(others, key=lambda other: other.result.request_p50_ms)
            lines.append(
                f"{verdict.name} is slower than {best.name} on this machine: one request takes "
                f"{number(verdict.result.request_p50_ms)} ms against {number(best.result.request_p50_ms)} ms"
            )
    return lines


def document_from_report(report: GateReport, candidates: Sequence[GateCandidate]) -> dict[str, Any]:
    """Every verdict with its figures, how each variant was calibrated, the weights, and where it was measured."""
    card = candidates[0].card
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "accuracy",
        "written_at": utc_now(),
        "weights": card.weights,
        "weights_sha256": card.weights_sha256,
        "device": card.device,
        "baseline": report.baseline,
        "dataset": report.dataset,
        "dataset_kind": report.kind,
        "dataset_notes": list(report.dataset_notes),
        "known_from_earlier_runs": report.cached,
        "verdicts": [asdict(verdict) for verdict in report.verdicts],
        "calibration": {item.name: item.card.calibration for item in candidates if item.card.calibration},
        "environment": environment_fingerprint(None, server={"kind": "embedded"}),
    }


def _cells(verdict: GateVerdict, report: GateReport, has_points: bool) -> tuple[str, ...]:
    result = verdict.result
    is_baseline = verdict.name == report.baseline
    star = STAR if report.dataset_notes else ""
    return (
        verdict.name,
        _share(result.map50_95, star),
        _share(result.map50, star),
        MISSING if result.share is None else f"{result.share:.2%}",
        MISSING if is_baseline else f"{verdict.floor:.0%}",
        MISSING if result.matched_share is None else f"{result.matched_share:.2%}",
        f"{number(result.mean_box_error_px)} / {number(result.worst_box_error_px)}",
        f"{number(result.mean_confidence_error)} / {number(result.worst_confidence_error)}",
        *(_point_cells(verdict, star) if has_points else ()),
        number(result.request_p50_ms),
        _word(verdict, is_baseline),
    )


def _point_cells(verdict: GateVerdict, star: str) -> tuple[str, str, str]:
    result = verdict.result
    return (
        _share(result.oks_map50_95, star),
        _percent(result.truth_point_error),
        f"{_percent(result.mean_point_error)} / {_percent(result.worst_point_error)}",
    )


def _percent(share: float | None) -> str:
    return MISSING if share is None else f"{number(100 * share)} %"


def _share(value: float | None, star: str) -> str:
    return MISSING if value is None else f"{value:.4f}{star}"


def _word(verdict: GateVerdict, is_baseline: bool) -> str:
    if is_baseline:
        return "baseline"
    if not verdict.passed:
        return "REFUSED"
    return "not decided" if verdict.reason else "passed"
