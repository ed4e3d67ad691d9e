"""Tables of cameras for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from photofinish.client.cameras.supervise.check import CheckedCamera

CHECK_HEADINGS = (
    "camera",
    "reachable",
    "codec",
    "size",
    "fps announced",
    "measured",
    "keyframe every",
    "clock",
    "to do",
)


def check_table(rows: Sequence[CheckedCamera]) -> list[str]:
    """One line a camera; what cannot be known is `–`."""
    return aligned([CHECK_HEADINGS, *(_check_cells(row) for row in rows)])


def _check_cells(row: CheckedCamera) -> tuple[str, ...]:
    report = row.report
    interval = report.keyframe_interval_s
    return (
        row.camera.name,
        "yes" if row.is_reachable else "no",
        report.codec or "–",
        "{} × {}".format(*row.size_wh) if row.size_wh else "–",
        number(row.announced_fps),
        number(report.measured_fps),
        f"{number(interval)} s" if interval is not None else "–",
        ("RTCP" if report.clock == "rtcp" else "arrival") if row.is_reachable else "–",
        row.advice or "–",
    )


def number(value: float | None) -> str:
    """Three significant digits; `–` for what is not known."""
    if value is None:
        return "–"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows with their columns below each other; the last one is as long as it is."""
    if not rows:
        return []
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
