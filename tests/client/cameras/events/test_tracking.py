"""ByteTrack as cameras need it: 5 frames a second, classes apart, gaps, weak boxes, and lines that are crossed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from photofinish.client.cameras.events.camera import CameraTracks, News
from photofinish.client.cameras.events.tracking import NO_TRACK, ObjectTracker, require_tracking_library
from photofinish.client.cameras.values.camera import Line, Zone
from photofinish.client.cameras.values.event import LineCrossing, ObjectEvent
from photofinish.client.cameras.values.outcome import Inferred
from photofinish.detections import Detections, empty_detections
from photofinish.errors import ConfigError
from tests.client.cameras.recording.held import WALL_NS, result_at

Box = tuple[float, float, int, float]
"""Left side, lower side, class, confidence; each is 60 wide and 40 high."""


def boxes(*found: Box) -> Detections:
    if not found:
        return empty_detections()
    left, low, class_id, confidence = (np.array(column) for column in zip(*found, strict=True))
    return Detections(
        boxes_xyxy=np.stack([left, low - 40, left + 60, low], axis=1).astype(np.float32),
        confidence=confidence.astype(np.float32),
        class_id=class_id.astype(np.int32),
    )


def tracks_of(frames: Sequence[Detections], *, fps: float = 5, lost_s: float = 2) -> list[list[int]]:
    tracker = ObjectTracker()
    step_ns = round(1e9 / fps)
    return [tracker.update(found, step_ns if number else 0, round(lost_s * 1e9)) for number, found in enumerate(frames)]


@pytest.mark.parametrize("fps", [1, 5, 12.5, 25])
def test_a_car_is_one_track_at_any_rate(fps: float) -> None:
    way = [boxes((30 + 100 * number / max(fps, 4), 200, 0, 0.8)) for number in range(16)]
    found = tracks_of(way, fps=fps, lost_s=max(2, 5 / fps))
    assert found[0] == [NO_TRACK]
    assert {track for (track,) in found[1:]} == {0}


def test_two_cars_that_meet_keep_their_tracks_and_another_class_is_another_track() -> None:
    way = [
        boxes((30 + 30 * n, 200, 0, 0.8), (500 - 30 * n, 215, 0, 0.7), (32 + 30 * n, 190, 1, 0.6)) for n in range(16)
    ]
    found = tracks_of(way)
    assert len({tuple(row) for row in found[1:]}) == 1
    assert sorted(found[-1]) == [0, 1, 2]


def test_a_weak_box_continues_a_track_and_begins_none() -> None:
    weak = [boxes((100 + 10 * n, 200, 0, 0.3)) for n in range(5)]
    assert tracks_of(weak) == [[NO_TRACK]] * 5
    strong = [boxes((100 + 10 * n, 200, 0, 0.9 if n < 3 else 0.3)) for n in range(6)]
    assert tracks_of(strong)[1:] == [[0]] * 5


@pytest.mark.parametrize(("gap", "tracks"), [(6, [0]), (11, [NO_TRACK])])
def test_a_gap_is_bridged_for_two_seconds(gap: int, tracks: list[int]) -> None:
    way = [boxes((100, 200, 0, 0.8))] * 5 + [boxes()] * gap + [boxes((100, 200, 0, 0.8))]
    assert tracks_of(way)[-1] == tracks


def test_weeks_of_objects_leave_nothing_behind() -> None:
    tracker = ObjectTracker()
    for number in range(20):
        for place in range(3):
            found = boxes((20 + 10 * place, 100, number % 3, 0.8), (300 + 10 * place, 100, 7, 0.8))
            tracker.update(found, 200_000_000, 2 * 10**9)
        tracker.update(boxes((320, 100, 7, 0.8)), 3 * 10**9, 2 * 10**9)
    assert tracker._tracker is not None
    assert len(tracker._tracker.tracks) == 1


GATE = Line(name="gate", points_xy=((0.25, 0.5), (0.75, 0.5)))


class Street:
    """One camera, 640 x 360, five frames a second."""

    def __init__(self, **changes: Any) -> None:
        self.tracks = CameraTracks("street")
        self.changes = {"is_tracked": True, "class_names": ("car", "person"), **changes}
        self.number = 0
        self.told: News = []

    def see(self, *found: Box, **changes: Any) -> Inferred:
        self.number += 1
        result = replace(result_at(self.number, "street", **{**self.changes, **changes}), detections=boxes(*found))
        tracked, told = self.tracks.see(result)
        self.told += told
        return tracked

    @property
    def crossings(self) -> list[tuple[str, str, int, int]]:
        return [
            (item.label, item.direction, item.count_in, item.count_out)
            for item in self.told
            if isinstance(item, LineCrossing)
        ]

    @property
    def kinds(self) -> list[str]:
        return [item.kind for item in self.told if isinstance(item, ObjectEvent)]


def test_in_is_to_the_left_hand_of_the_line_and_each_class_has_its_counts() -> None:
    street = Street(lines=(GATE,))
    for n in range(10):
        street.see((300, 250 - 15 * n, 0, 0.8), (400, 120 + 15 * n, 1, 0.8))
    assert sorted(street.crossings) == [("car", "in", 1, 0), ("person", "out", 0, 1)]
    last = next(item for item in street.told if isinstance(item, LineCrossing))
    event = next(item for item in street.told if isinstance(item, ObjectEvent) and item.after.crossings)
    assert event.after.event_id == last.event_id
    assert last.frame_unix_ns > WALL_NS


def test_who_passes_beside_the_line_does_not_count_and_who_turns_back_counts_twice() -> None:
    street = Street(lines=(GATE,))
    for n in (*range(8), *range(8, -1, -1)):
        street.see((300, 230 - 12 * n, 0, 0.8), (20, 230 - 12 * n, 0, 0.8))
    assert street.crossings == [("car", "in", 1, 0), ("car", "out", 1, 1)]


def test_counts_go_on_when_the_camera_begins_anew_and_nobody_crosses_by_that() -> None:
    street = Street(lines=(GATE,))
    for n in range(10):
        street.see((300, 250 - 15 * n, 0, 0.8), connection=1)
    for n in range(10):
        street.see((300, 250 - 15 * n, 0, 0.8), connection=2)
    assert street.crossings == [("car", "in", 1, 0), ("car", "in", 2, 0)]
    assert street.kinds.count("new") == 2


def test_lines_follow_the_size_of_the_picture() -> None:
    street = Street(lines=(GATE,), size_wh=(1280, 720))
    for n in range(10):
        street.see((600, 430 - 15 * n, 0, 0.8))
    assert street.crossings == [("car", "in", 1, 0)]


def test_an_object_tells_its_zones_and_ends_two_seconds_after_it_was_seen_last() -> None:
    yard = Zone(name="yard", points_xy=((0.5, 0), (1, 0), (1, 1), (0.5, 1)))
    street = Street(zones=(yard,))
    for n in range(8):
        tracked = street.see((200 + 20 * n, 200, 0, 0.8))
    assert tracked.track_ids == (street.told[0].after.event_id,)  # type: ignore[union-attr]
    assert street.kinds == ["new", "update"]
    for _ in range(10):
        street.see()
    assert street.kinds == ["new", "update"]
    street.see()
    assert street.kinds == ["new", "update", "end"]
    ended = street.told[-1]
    assert isinstance(ended, ObjectEvent)
    assert ended.after.entered_zones == ("yard",)


def test_frames_without_boxes_and_cameras_without_lines_are_no_trouble() -> None:
    street = Street()
    assert street.see().track_ids == ()
    assert Street(lines=(GATE,)).see().track_ids == ()
    assert street.told == []


def test_a_missing_library_is_told_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    require_tracking_library()
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(ConfigError, match=r"tracks need supervision; .*pip install 'photofinish\[tracks\]'"):
        require_tracking_library()
