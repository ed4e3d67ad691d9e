"""Boxes of one frame after the other as tracks: ByteTrack, of the library `trackers`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import numpy as np

from photofinish.detections import Detections
from photofinish.errors import ConfigError

if TYPE_CHECKING:
    from trackers import ByteTrackTracker

BEGINS_AT = 0.4
"""A box that is surer begins a track; weaker ones continue it."""
FIRST_FPS = 5.0
"""Until the rate of the frames is known."""
CLASS_STEP = 100_000.0
"""Pixels by which classes are moved apart, so that boxes of two classes never meet: one association serves them all."""
LIBRARIES = ("trackers", "supervision")
NO_TRACK = -1
_PLACE = "place"


def require_tracking_library() -> None:
    """Load it, which takes a second or two. Raises ConfigError with the command that installs it."""
    try:
        for name in LIBRARIES:
            importlib.import_module(name)
    except ModuleNotFoundError as exc:
        raise ConfigError(f"tracks need {exc.name}; install it with `pip install 'photofinish[tracks]'`") from exc


class ObjectTracker:
    """One camera's tracks; each is of one class for good. Not for several threads.

    Raises ConfigError with the first frame when the library is not installed.
    """

    def __init__(self) -> None:
        self._now_s = 0.0
        self._tracker: ByteTrackTracker | None = None

    def update(self, detections: Detections, step_ns: int, lost_ns: int) -> list[int]:
        """The number of each box's track, NO_TRACK for one that has none (yet): a track begins with its second box.

        step_ns: since the frame before, 0 for the first; lost_ns: a track without a box for so long has ended.
        """
        self._now_s += step_ns / 1e9
        if self._tracker is None and not len(detections):
            return []
        tracker = self._tracker = self._tracker or _tracker(1e9 / step_ns if step_ns else FIRST_FPS)
        tracker.maximum_time_without_update = lost_ns / 1e9
        from supervision import Detections as LibraryDetections

        apart = detections.class_id.astype(np.float64)[:, None] * CLASS_STEP
        given = LibraryDetections(
            xyxy=detections.boxes_xyxy + apart,
            confidence=detections.confidence,
            data={_PLACE: np.arange(len(detections))},
        )
        found = tracker.update(given, timestamp=self._now_s)
        tracks = [NO_TRACK] * len(detections)
        if found.tracker_id is not None and len(found):
            for place, track in zip(np.asarray(found.data[_PLACE]).tolist(), found.tracker_id.tolist(), strict=True):
                tracks[place] = track if track >= 0 else NO_TRACK
        return tracks


def _tracker(frames_per_s: float) -> ByteTrackTracker:
    """With the rate by which the library weighs its times; the times themselves are told with each frame."""
    require_tracking_library()
    from trackers import ByteTrackTracker

    return ByteTrackTracker(
        frame_rate=frames_per_s, track_activation_threshold=BEGINS_AT, high_conf_det_threshold=BEGINS_AT
    )
