"""How well a detector does right now: recall and precision over the last seconds, against the camera's own boxes."""

from __future__ import annotations

from collections import deque

import numpy as np

from photofinish.detections import Detections, match_detections


class LiveTruth:
    """A rolling count of matched boxes. Times are perf_counter_ns values and must not run backwards."""

    def __init__(self, *, window_s: float = 5.0, iou_threshold: float = 0.5) -> None:
        if window_s <= 0 or not 0 < iou_threshold <= 1:
            raise ValueError(
                f"window_s must be above 0 and iou_threshold within 0..1, got {window_s} and {iou_threshold}"
            )
        self._window_ns = round(window_s * 1e9)
        self._iou_threshold = iou_threshold
        self._counts: deque[tuple[int, int, int, int]] = deque()
        self._matched = self._found = self._present = 0

    def add(self, detections: Detections, truth: Detections, at_ns: int) -> None:
        """Count one frame: what was found in it, what was there, and when; forget what is older than the window."""
        matched = int(np.count_nonzero(match_detections(detections, truth, iou_threshold=self._iou_threshold) >= 0))
        self._counts.append((at_ns, matched, len(detections), len(truth)))
        self._matched += matched
        self._found += len(detections)
        self._present += len(truth)
        while self._counts[0][0] <= at_ns - self._window_ns:
            _, matched, found, present = self._counts.popleft()
            self._matched -= matched
            self._found -= found
            self._present -= present

    @property
    def frames(self) -> int:
        """Frames within the window."""
        return len(self._counts)

    @property
    def recall(self) -> float | None:
        """Share of the objects that were there and were found; None while there was nothing to find."""
        return self._matched / self._present if self._present else None

    @property
    def precision(self) -> float | None:
        """Share of the boxes found that were right; None while nothing was found."""
        return self._matched / self._found if self._found else None
