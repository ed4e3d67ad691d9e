"""What a pipeline gives for one frame, and the account of all frames."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from photofinish.client.pipeline.part import FramePart, PartAccount, PartCount
from photofinish.detections import Detections
from photofinish.frame import Frame

DropCause = Literal["late", "error", "stopped", "turn"]
"""late: a newer frame took its place. error: its request, or one before it, failed. stopped: the caller left.
turn: it passed while the other side of the split view had its turn."""
LATENCY_BUCKETS_S = (
    *(0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075),
    *(0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0),
)
"""Upper bounds of every latency histogram, in seconds, from one GPU inference to a stalled server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameResult:
    """One frame and its detections, with times from perf_counter_ns.

    begun_ns: the pipeline took the frame up; finished_ns: its detections were there.
    prepare_ns: letterbox and layout; wire_ns: from sending to the answer; decode_ns: output to detections.
    parts: where several models looked at the frame, the share of each; `detections` are then those of the first, and
    wire_ns ends with the last answer. crops_ns: what models that look at the first one's boxes took after that.
    """

    frame: Frame
    detections: Detections
    begun_ns: int
    finished_ns: int
    prepare_ns: int
    wire_ns: int
    decode_ns: int
    parts: tuple[FramePart, ...] = ()
    crops_ns: int = 0

    @property
    def box_count(self) -> int:
        """Boxes of all models; one that a classifier names counts once."""
        return sum(part.new_boxes for part in self.parts) if self.parts else len(self.detections)

    @property
    def has_crops(self) -> bool:
        """Whether a model looks at crops of the first one's boxes."""
        return any(part.crops for part in self.parts)

    @property
    def latency_ns(self) -> int:
        """From the picture being there to its detections being there: waiting counts."""
        return self.finished_ns - self.frame.captured_ns

    @property
    def service_ns(self) -> int:
        """The pipeline's own share of the latency, without the wait before it took the frame up."""
        return self.finished_ns - self.begun_ns


class PipelineObserver(Protocol):
    """Hears of every frame, e.g. to export metrics. Called from the pipeline's threads; must not block."""

    def on_result(self, result: FrameResult) -> None:
        """A frame is done."""

    def on_drop(self, stream_id: str, cause: DropCause, count: int) -> None:
        """Frames that were due were not inferred."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameCount:
    """Where the frames of a run are. due = done + all drops once the run has ended.

    parts: of several models, by name, who answered in the frames that are done.
    """

    due: int
    done: int
    dropped: Mapping[DropCause, int]
    parts: Mapping[str, PartCount] = field(default_factory=dict)

    @property
    def dropped_total(self) -> int:
        """Frames due and not inferred, all causes."""
        return sum(self.dropped.values())


class FrameAccount:
    """Counts every frame once; safe to use from several threads.

    A gap in a stream's frame index means that the source itself skipped frames because nobody fetched them:
    these were due and count as late.
    """

    def __init__(self, observer: PipelineObserver | None = None) -> None:
        self._observer = observer
        self._lock = threading.Lock()
        self._due = 0
        self._done = 0
        self._dropped: Counter[DropCause] = Counter()
        self._next_index: dict[str, int] = {}
        self._parts = PartAccount()

    def count_read(self, frame: Frame) -> None:
        """A frame came from its source."""
        with self._lock:
            skipped = max(frame.index - self._next_index.get(frame.stream_id, frame.index), 0)
            self._next_index[frame.stream_id] = frame.index + 1
            self._due += 1 + skipped
        if skipped:
            self.count_drop(frame.stream_id, "late", skipped)

    def count_done(self, result: FrameResult) -> None:
        """A frame's detections were handed over."""
        with self._lock:
            self._done += 1
            self._parts.add(result.parts)
        if self._observer:
            self._observer.on_result(result)

    def count_drop(self, stream_id: str, cause: DropCause, count: int = 1) -> None:
        """Frames will not be inferred."""
        with self._lock:
            self._dropped[cause] += count
        if self._observer:
            self._observer.on_drop(stream_id, cause, count)

    def snapshot(self) -> FrameCount:
        """The figures now."""
        with self._lock:
            return FrameCount(due=self._due, done=self._done, dropped=dict(self._dropped), parts=self._parts.snapshot())
