"""Tables of cameras for a terminal."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence

from photofinish.client.cameras.supervise.check import CheckedCamera
from photofinish.client.cameras.values.outcome import CameraDropCause
from photofinish.client.cameras.values.status import CameraStatus, CellStatus, DecodeWay, DropCount, IngestPhase

WAYS: dict[DecodeWay, str] = {"gpu": "by a GPU", "cpu": "by the CPU", "pool": "by a GPU's pool for keyframes"}
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


STATUS_HEADINGS = (
    *(
        "camera",
        "state",
        "quality",
        "decode",
        "fps",
        "of",
        "due",
        "inferred",
        "dropped",
        "mostly",
        "P50 ms",
        "P95 ms",
        "P99 ms",
    ),
    "what is wrong",
)


def status_table(status: CellStatus, limit: int | None = None) -> list[str]:
    """One line a camera, those with the most trouble first; `limit` lines at most, and how many are left out."""
    rows = sorted(status.cameras, key=_trouble, reverse=True)
    shown = rows if limit is None else rows[: max(limit, 1)]
    has_several = len({row.gpu for row in rows}) > 1
    lines = aligned([STATUS_HEADINGS, *(_status_cells(row, has_several_gpus=has_several) for row in shown)])
    if len(shown) < len(rows):
        lines.append(f"… and {len(rows) - len(shown)} more cameras")
    return lines


def summary_line(status: CellStatus) -> str:
    """All cameras in a line."""
    count = total_count([row.count for row in status.cameras])
    playing = sum(row.ingest.phase is IngestPhase.PLAYING for row in status.cameras)
    fps = sum(row.served_fps for row in status.cameras)
    share = f"{count.dropped_total / count.due:.1%}" if count.due else "–"
    parts = [
        f"{playing} of {len(status.cameras)} cameras play, {number(fps)} frames/s inferred, "
        f"{count.due} due = {count.inferred} inferred + {count.dropped_total} dropped ({share}) + "
        f"{count.pending} pending",
    ]
    causes = ", ".join(f"{cause.value} {lost}" for cause, lost in _by_size(count))
    more = [decoded_line(status), causes, *status.notes, status.server_message]
    return "; ".join([*parts, *filter(None, more)])


def total_count(counts: Sequence[DropCount]) -> DropCount:
    """The sum of several accounts."""
    dropped: Counter[CameraDropCause] = Counter()
    for count in counts:
        dropped.update(count.dropped)
    return DropCount(
        due=sum(count.due for count in counts),
        inferred=sum(count.inferred for count in counts),
        dropped=dict(dropped),
        pending=sum(count.pending for count in counts),
    )


def _trouble(row: CameraStatus) -> tuple[bool, float]:
    lost = row.count.dropped_total / row.count.due if row.count.due else 0.0
    return row.ingest.phase is not IngestPhase.PLAYING, lost


def _status_cells(row: CameraStatus, *, has_several_gpus: bool) -> tuple[str, ...]:
    causes = _by_size(row.count)
    next_try = f" (next try in {row.ingest.next_try_s:.0f} s)" if row.ingest.next_try_s is not None else ""
    state = row.ingest.phase.value if row.step == "full" else f"{row.ingest.phase.value}, {row.step}"
    return (
        row.camera,
        state,
        row.quality,
        decoded_by(row, has_several_gpus=has_several_gpus) + (", keyframes" if row.sampling == "keyframes" else ""),
        number(row.served_fps),
        number(row.wanted_fps),
        str(row.count.due),
        str(row.count.inferred),
        str(row.count.dropped_total),
        causes[0][0].value if causes else "–",
        number(row.p50_ms),
        number(row.p95_ms),
        number(row.p99_ms),
        (row.ingest.message or row.decode_message or decoded_so(row) or "–") + next_try,
    )


def decoded_by(row: CameraStatus, *, has_several_gpus: bool) -> str:
    """What decodes a camera, with the GPU where there are several: `gpu 1`, `pool of gpu 1`, or `cpu for gpu 1`."""
    if not has_several_gpus or row.gpu is None:
        return row.decode
    how = {"gpu": "gpu", "cpu": "cpu for gpu", "pool": "pool of gpu"}[row.decode]
    return f"{how} {row.gpu}"


def decoded_so(row: CameraStatus) -> str:
    """Why a camera has no session of a GPU, in words; "" where nothing is to be said."""
    how = "on the CPU" if row.decode == "cpu" else "keyframes by shared decoders"
    return f"{how}: {row.decode_reason}" if row.decode_reason else ""


def decoded_line(status: CellStatus) -> str:
    """How many cameras are decoded in which way, "" where the CPU decodes all."""
    counts = Counter(row.decode for row in status.cameras)
    parts = [f"{counts[way]} {words}" for way, words in WAYS.items() if counts[way]]
    return f"decoded: {', '.join(parts)}" if set(counts) - {"cpu"} else ""


def _by_size(count: DropCount) -> list[tuple[CameraDropCause, int]]:
    return sorted(count.dropped.items(), key=lambda item: -item[1])


def number(value: float | None) -> str:
    """Three significant digits; `–` for what is not known."""
    if value is None:
        return "–"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows with their columns below each other; the last one is as long as it is."""
    if not rows:
        return []
    widths = [max(_columns(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell + " " * (width - _columns(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _columns(text: str) -> int:
    """How much room a terminal gives it: letters of Chinese and its neighbours are two wide."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)
