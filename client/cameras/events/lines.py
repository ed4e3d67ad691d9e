"""Which tracked objects cross which lines of their camera, by supervision's LineZone, and how many have."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from photofinish.client.cameras.values.camera import Line
from photofinish.client.cameras.values.event import Direction, LineCrossing
from photofinish.client.cameras.values.outcome import Inferred

if TYPE_CHECKING:
    from supervision import LineZone

Crossed = list[list[tuple[str, Direction]]]
"""For each box the lines that it crossed with this frame."""


class LineCounts:
    """Of one camera; they begin with the run, and go on whatever the camera does. For one thread."""

    def __init__(self, camera: str) -> None:
        self._camera = camera
        self._counts: Counter[tuple[str, str, Direction]] = Counter()
        self._lines: tuple[Line, ...] = ()
        self._zones: list[tuple[str, LineZone]] = []
        self._size_wh = (0, 0)

    def forget_tracks(self) -> None:
        """Where objects were does not matter any more."""
        self._lines, self._zones = (), []

    def crossings(self, result: Inferred, tracks: list[int]) -> Crossed:
        """What each box crosses. tracks: of each box its track, -1 for none.

        A box is where the middle of its lower side is, as for zones, and counts when it passes between the line's ends.
        """
        crossed: Crossed = [[] for _ in tracks]
        if not result.lines:
            return crossed
        if (result.lines, result.size_wh) != (self._lines, self._size_wh):
            self._lines, self._size_wh = result.lines, result.size_wh
            self._zones = [(line.name, _zone(line, result.size_wh)) for line in result.lines]
        places = [place for place, track in enumerate(tracks) if track >= 0]
        detections = _detections(result, places, tracks)
        for name, zone in self._zones:
            ins, outs = zone.trigger(detections)
            for place, goes_in, goes_out in zip(places, ins.tolist(), outs.tolist(), strict=True):
                if goes_in or goes_out:
                    crossed[place].append((name, "in" if goes_in else "out"))
        return crossed

    def told(self, result: Inferred, crossed: Crossed, ids: tuple[str, ...]) -> list[LineCrossing]:
        """Count what was crossed, and say it. ids: of each box that of its event."""
        told = []
        for place, lines in enumerate(crossed):
            label = result.class_name(int(result.detections.class_id[place]))
            for line, direction in lines:
                self._counts[line, label, direction] += 1
                told.append(
                    LineCrossing(
                        camera=self._camera,
                        line=line,
                        label=label,
                        direction=direction,
                        event_id=ids[place],
                        frame_unix_ns=result.captured_unix_ns,
                        count_in=self._counts[line, label, "in"],
                        count_out=self._counts[line, label, "out"],
                    )
                )
        return told


def _zone(line: Line, size_wh: tuple[int, int]) -> LineZone:
    from supervision import LineZone, Point, Position

    start, end = (Point(x * size_wh[0], y * size_wh[1]) for x, y in line.points_xy)
    return LineZone(start=start, end=end, triggering_anchors=(Position.BOTTOM_CENTER,))


def _detections(result: Inferred, places: list[int], tracks: list[int]) -> Any:
    from supervision import Detections

    found = result.detections
    return Detections(
        xyxy=found.boxes_xyxy[places],
        class_id=found.class_id[places],
        tracker_id=np.array([tracks[place] for place in places], dtype=np.int64),
    )
