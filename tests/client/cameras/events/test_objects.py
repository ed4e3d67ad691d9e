"""The life of an object as events: what is told when, and what stands in it."""

from __future__ import annotations

import itertools
import json

import pytest

from photofinish.client.cameras.events.objects import CameraObjects, Sighting, event_id
from photofinish.client.cameras.outputs.event_json import message_from_crossing, message_from_event
from photofinish.client.cameras.values.event import Direction, LineCrossing, ObjectEvent, Snapshot

SECOND = 10**9
BORN_NS = 1_700_000_000 * SECOND
BOX = (10.2, 20.4, 60.6, 80.8)


class Street:
    """One camera's objects, seen five times a second."""

    def __init__(self) -> None:
        numbers = itertools.count()
        self.objects = CameraObjects("gate", lambda start: f"{start // SECOND}-{next(numbers)}")
        self.now_ns = 0

    def see(
        self, track: int = 1, *, score: float = 0.5, zones: tuple[str, ...] = (), crossing: Direction | None = None
    ) -> list[ObjectEvent]:
        self.now_ns += SECOND // 5
        crossings = (("stop", crossing),) if crossing else ()
        sighting = Sighting(track=track, label="car", score=score, box_xyxy=BOX, zones=zones, crossings=crossings)
        return self.objects.see(
            [sighting], frame_unix_ns=BORN_NS + self.now_ns, seen_ns=self.now_ns, size_wh=(640, 360)
        )


def kinds(events: list[ObjectEvent]) -> list[str]:
    return [event.kind for event in events]


def test_an_object_is_new_once_and_then_silent_while_nothing_happens() -> None:
    street = Street()
    (first,) = street.see()
    assert (first.kind, first.before, first.after.camera, first.after.label) == ("new", first.after, "gate", "car")
    assert [street.see() for _ in range(40)] == [[]] * 40
    assert kinds(street.see(track=2)) == ["new"]


def test_a_zone_a_line_and_ten_seconds_are_news() -> None:
    street = Street()
    street.see()
    (entered,) = street.see(zones=("drive",))
    assert (entered.kind, entered.before.current_zones, entered.after.current_zones) == ("update", (), ("drive",))
    (left,) = street.see()
    assert (left.after.current_zones, left.after.entered_zones) == ((), ("drive",))
    (crossed,) = street.see(crossing="in")
    assert crossed.after.crossings == (("stop", "in"),)
    told = [event for _ in range(55) for event in street.see(score=0.9)]
    assert kinds(told) == ["update"]
    assert told[0].after.top_score == 0.9
    assert told[0].after.frame_unix_ns - told[0].before.frame_unix_ns == 10 * SECOND


def test_what_was_not_seen_for_a_while_ends_where_it_was_seen_last() -> None:
    street = Street()
    street.see(zones=("drive",))
    street.see(track=2)
    assert street.objects.end_unseen(SECOND // 5) == []
    (gone,) = street.objects.end_unseen(SECOND // 5 + 1)
    assert (gone.kind, gone.after.end_unix_ns) == ("end", BORN_NS + SECOND // 5)
    assert (gone.after.current_zones, gone.after.entered_zones) == ((), ("drive",))
    assert kinds(street.objects.end_all()) == ["end"]
    assert len(street.objects) == 0


def test_a_snapshot_is_told_and_of_one_that_has_gone_it_is_not() -> None:
    street = Street()
    (born,) = street.see()
    snapshot = Snapshot(path="/tmp/a.jpg", frame_unix_ns=BORN_NS, score=0.5, box_xyxy=BOX)
    (told,) = street.objects.take_snapshot(born.after.event_id, snapshot)
    assert (told.kind, told.before.snapshot, told.after.snapshot) == ("update", None, snapshot)
    (end,) = street.objects.end_all()
    assert end.after.snapshot == snapshot
    assert street.objects.take_snapshot(born.after.event_id, snapshot) == []


def test_the_message_is_the_one_that_users_of_frigate_know() -> None:
    street = Street()
    (born,) = street.see(zones=("drive",))
    message = json.loads(json.dumps(message_from_event(born)))
    assert sorted(message) == ["after", "before", "type"]
    assert message["after"] == {
        "id": f"{BORN_NS // SECOND}-0",
        "camera": "gate",
        "label": "car",
        "frame_time": 1_700_000_000.2,
        "start_time": 1_700_000_000.2,
        "end_time": None,
        "score": 0.5,
        "top_score": 0.5,
        "box": [10, 20, 61, 81],
        "area": 51 * 61,
        "width": 640,
        "height": 360,
        "current_zones": ["drive"],
        "entered_zones": ["drive"],
        "crossed_lines": [],
        "has_snapshot": False,
        "snapshot": None,
    }
    snapshot = Snapshot(path="/tmp/a.jpg", frame_unix_ns=BORN_NS, score=0.5, box_xyxy=BOX)
    (told,) = street.objects.take_snapshot(born.after.event_id, snapshot)
    after = message_from_event(told)["after"]
    assert after["has_snapshot"]
    assert after["snapshot"] == {
        "path": "/tmp/a.jpg",
        "frame_time": 1_700_000_000.0,
        "score": 0.5,
        "box": [10, 20, 61, 81],
    }


def test_a_crossing_says_who_where_and_how_many() -> None:
    crossing = LineCrossing(
        camera="gate",
        line="stop",
        label="car",
        direction="in",
        event_id="1-0",
        frame_unix_ns=BORN_NS,
        count_in=3,
        count_out=1,
    )
    assert message_from_crossing(crossing) == {
        "type": "crossing",
        "camera": "gate",
        "line": "stop",
        "label": "car",
        "direction": "in",
        "id": "1-0",
        "frame_time": 1_700_000_000.0,
        "in": 3,
        "out": 1,
    }


@pytest.mark.parametrize("start_ns", [BORN_NS, BORN_NS + 123_456_789])
def test_ids_begin_with_the_start_and_differ(start_ns: int) -> None:
    one, two = event_id(start_ns), event_id(start_ns)
    assert one != two
    assert one.startswith(f"{start_ns / 1e9:.6f}-")
