"""What those who watch a cell see: its newest status, latencies, boxes, and what became of frames over time."""

from __future__ import annotations

import bisect
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from photofinish.client.cameras.values.outcome import CameraDropCause, Inferred
from photofinish.client.cameras.values.status import CellStatus, DropCount
from photofinish.client.pipeline.frame_result import LATENCY_BUCKETS_S

SILENT_S = 10.0
"""A cell that has told no status for so long does not work any more: it tells one each second."""
SPAN_S = 10.0
KEPT_SPANS = 90
"""A quarter of an hour."""
KEPT_RESULTS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyBuckets:
    """A camera's latencies so far. counts: by upper bound of LATENCY_BUCKETS_S, and those above all; not cumulative."""

    counts: tuple[int, ...]
    sum_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """What became of a camera's frames in some seconds that ended at `at_unix_ns`."""

    at_unix_ns: int
    seconds: float
    inferred: int
    dropped: Mapping[CameraDropCause, int]


class _CameraBoard:
    def __init__(self) -> None:
        self.counts = [0] * (len(LATENCY_BUCKETS_S) + 1)
        self.sum_s = 0.0
        self.results: deque[Inferred] = deque(maxlen=KEPT_RESULTS)
        self.spans: deque[Span] = deque(maxlen=KEPT_SPANS)
        self.last = DropCount()


class CellBoard:
    """An Output. Written by the cell's loop and read by any thread."""

    name = "board"
    lost = 0

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._status: CellStatus | None = None
        self._told_s = self._span_s = clock_s()
        self._cameras: dict[str, _CameraBoard] = {}

    @property
    def status(self) -> CellStatus | None:
        """The newest status; None before the first."""
        return self._status

    @property
    def silence_s(self) -> float:
        """Seconds since the cell told its status, or since the board was made."""
        return self._clock_s() - self._told_s

    def on_inferred(self, result: Inferred) -> None:
        """A frame's boxes are there."""
        with self._lock:
            board = self._cameras.setdefault(result.camera, _CameraBoard())
            board.counts[bisect.bisect_left(LATENCY_BUCKETS_S, result.latency_ns / 1e9)] += 1
            board.sum_s += result.latency_ns / 1e9
            board.results.append(result)

    def on_status(self, status: CellStatus) -> None:
        """The whole cell, once a second."""
        with self._lock:
            before = {row.camera for row in self._status.cameras} if self._status else set()
            self._status, self._told_s = status, self._clock_s()
            for gone in before - {row.camera for row in status.cameras}:
                self._cameras.pop(gone, None)
            seconds = self._told_s - self._span_s
            if seconds < SPAN_S:
                return
            self._span_s = self._told_s
            for row in status.cameras:
                board = self._cameras.setdefault(row.camera, _CameraBoard())
                if row.count.due < board.last.due:  # another camera has the name now
                    board.last = DropCount()
                dropped = {
                    cause: count - board.last.dropped.get(cause, 0)
                    for cause, count in row.count.dropped.items()
                    if count > board.last.dropped.get(cause, 0)
                }
                board.spans.append(
                    Span(
                        at_unix_ns=status.at_unix_ns,
                        seconds=seconds,
                        inferred=row.count.inferred - board.last.inferred,
                        dropped=dropped,
                    )
                )
                board.last = row.count

    def close(self) -> None:
        """The board stays as it is."""

    def latencies(self) -> dict[str, LatencyBuckets]:
        """By camera."""
        with self._lock:
            return {
                name: LatencyBuckets(counts=tuple(board.counts), sum_s=board.sum_s)
                for name, board in self._cameras.items()
            }

    def spans(self, camera: str) -> tuple[Span, ...]:
        """What became of its frames, the oldest first."""
        with self._lock:
            board = self._cameras.get(camera)
            return tuple(board.spans) if board else ()

    def result_near(self, camera: str, captured_ns: int, within_ns: int) -> Inferred | None:
        """The boxes of the frame captured then, else of the nearest one within some time."""
        with self._lock:
            board = self._cameras.get(camera)
            results = tuple(board.results) if board else ()
        nearest = min(results, key=lambda result: abs(result.captured_ns - captured_ns), default=None)
        return nearest if nearest is not None and abs(nearest.captured_ns - captured_ns) <= within_ns else None
