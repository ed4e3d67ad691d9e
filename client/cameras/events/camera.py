"""One camera's frames with their objects: tracks, lines and events, frame after frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from photofinish.client.cameras.events.lines import LineCounts
from photofinish.client.cameras.events.objects import CameraObjects, Sighting
from photofinish.client.cameras.events.tracking import ObjectTracker
from photofinish.client.cameras.outputs.zones import zones_of_boxes
from photofinish.client.cameras.values.event import Direction, LineCrossing, ObjectEvent
from photofinish.client.cameras.values.outcome import Inferred

LOST_NS = 2 * 10**9
"""An object that is not seen for so long has gone."""
LOST_FRAMES = 5
"""And at least for so many frames, where they are few."""
SMOOTH = 0.2

News = list[ObjectEvent | LineCrossing]


class CameraTracks:
    """For one thread. Its counts of lines go on when the camera begins anew."""

    def __init__(self, camera: str, make_tracker: Callable[[], ObjectTracker] = ObjectTracker) -> None:
        self.objects = CameraObjects(camera)
        self._camera = camera
        self._make_tracker = make_tracker
        self._tracker = make_tracker()
        self._lines = LineCounts(camera)
        self._stream: tuple[int, tuple[int, int]] | None = None
        self._last_ns: int | None = None
        self._interval_ns = 0.0

    @property
    def lost_ns(self) -> int:
        """After so long without being seen an object has gone."""
        return max(LOST_NS, round(LOST_FRAMES * self._interval_ns))

    def see(self, result: Inferred) -> tuple[Inferred, News]:
        """The frame with the ids of its objects, and what is to be told of them."""
        told: News = []
        stream = (result.connection, result.size_wh)
        if stream != self._stream:  # what moved meanwhile is not known, and the picture may be another one
            told += self.begin_anew()
            self._stream = stream
        told += self.objects.end_unseen(result.arrived_ns - self.lost_ns)
        tracks = self._tracker.update(result.detections, self._step_ns(result.captured_ns), self.lost_ns)
        crossed = self._lines.crossings(result, tracks)
        told += self.objects.see(
            self._sightings(result, tracks, crossed),
            frame_unix_ns=result.captured_unix_ns,
            seen_ns=result.arrived_ns,
            size_wh=result.size_wh,
        )
        ids = tuple(self.objects.id_of(track) for track in tracks)
        told += self._lines.told(result, crossed, ids)
        return replace(result, track_ids=ids), told

    def end_unseen(self, now_ns: int) -> News:
        """Objects end that were not seen for a while; the camera may be gone."""
        return list(self.objects.end_unseen(now_ns - self.lost_ns))

    def begin_anew(self) -> News:
        """All objects end, and those that come are new ones."""
        self._tracker = self._make_tracker()
        self._lines.forget_tracks()
        self._last_ns = None
        return list(self.objects.end_all())

    def _step_ns(self, captured_ns: int) -> int:
        """Since the frame before; 0 for the first."""
        step_ns = 0 if self._last_ns is None else max(captured_ns - self._last_ns, 1)
        self._last_ns = captured_ns
        if step_ns:
            self._interval_ns += (step_ns - self._interval_ns) * (SMOOTH if self._interval_ns else 1.0)
        return step_ns

    def _sightings(
        self, result: Inferred, tracks: list[int], crossed: list[list[tuple[str, Direction]]]
    ) -> list[Sighting]:
        found = result.detections
        zones = zones_of_boxes(result)
        return [
            Sighting(
                track=track,
                label=result.class_name(int(found.class_id[place])),
                score=float(found.confidence[place]),
                box_xyxy=_sides(found.boxes_xyxy[place].tolist()),
                zones=zones[place],
                crossings=tuple(crossed[place]),
            )
            for place, track in enumerate(tracks)
            if track >= 0
        ]


def _sides(box: list[float]) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = box
    return x1, y1, x2, y2
