"""The stage between cell and receivers: order, cameras that go, overload, a library that fails, and the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from photofinish.client.cameras.events.camera import CameraTracks
from photofinish.client.cameras.events.stage import Behind, TrackingStage
from photofinish.client.cameras.events.tracking import ObjectTracker
from photofinish.client.cameras.values.event import LineCrossing, ObjectEvent
from photofinish.client.cameras.values.outcome import Inferred
from photofinish.client.cameras.values.status import CellStatus, IngestPhase
from photofinish.detections import Detections
from tests.client.cameras.outputs.test_mqtt import status
from tests.client.cameras.outputs.test_webhook import soon
from tests.client.cameras.recording.held import result_at


class Numbering(ObjectTracker):
    """Every box of a class is the same object, frame after frame; `fails` and `gate` are for the worst."""

    fails = False
    gate: threading.Event | None = None

    def update(self, detections: Detections, step_ns: int, lost_ns: int) -> list[int]:
        if Numbering.gate is not None:
            Numbering.gate.wait(60)
        if Numbering.fails:
            raise ValueError("matrix contains invalid numeric entries")
        return [int(number) for number in detections.class_id]


@pytest.fixture(autouse=True)
def _sound_tracker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("photofinish.client.cameras.events.stage.CLOSE_S", 30.0)  # however busy the machine
    yield
    Numbering.fails, Numbering.gate = False, None


class Heard:
    """An EventReceiver that keeps what it hears, in order."""

    name = "heard"
    lost = 0

    def __init__(self) -> None:
        self.all: list[Any] = []
        self.is_closed = False

    @property
    def frames(self) -> list[Inferred]:
        return [item for item in self.all if isinstance(item, Inferred)]

    @property
    def kinds(self) -> list[str]:
        return [item.kind for item in self.all if isinstance(item, ObjectEvent)]

    def on_inferred(self, result: Inferred) -> None:
        self.all.append(result)

    def on_event(self, event: ObjectEvent | LineCrossing) -> None:
        assert not self.is_closed
        self.all.append(event)

    def on_status(self, status: CellStatus) -> None:
        pass

    def close(self) -> None:
        self.is_closed = True


def staged(heard: Heard, **options: Any) -> TrackingStage:
    return TrackingStage([heard], make_camera=lambda name: CameraTracks(name, Numbering), **options)


def tracked(number: int, camera: str = "door", **changes: Any) -> Inferred:
    return result_at(number, camera, is_tracked=True, **changes)


def test_frames_without_tracks_go_on_at_once_and_the_others_with_the_ids_of_their_events() -> None:
    heard = Heard()
    stage = staged(heard)
    stage.on_inferred(result_at(0))
    assert [frame.track_ids for frame in heard.frames] == [None]
    for number in range(1, 4):
        stage.on_inferred(tracked(number))
    soon(lambda: len(heard.frames) == 4)
    stage.close()
    assert heard.kinds == ["new", "end"]
    born = next(item for item in heard.all if isinstance(item, ObjectEvent))
    assert [frame.track_ids for frame in heard.frames[1:]] == [(born.after.event_id,)] * 3
    assert (born.after.label, born.after.camera) == ("person", "door")
    assert stage.lost == 0


@pytest.mark.parametrize("changes", [{"connection": 2}, {"size_wh": (320, 240)}])
def test_a_camera_that_reconnects_or_has_another_size_begins_new_tracks(changes: dict[str, Any]) -> None:
    heard = Heard()
    stage = staged(heard)
    for number in range(6):
        stage.on_inferred(tracked(number, **({"connection": 1} | changes if number >= 3 else {"connection": 1})))
    soon(lambda: len(heard.frames) == 6)
    stage.close()
    assert heard.kinds == ["new", "end", "new", "end"]
    assert len({frame.track_ids for frame in heard.frames}) == 2


def test_objects_end_when_their_camera_tells_nothing_more_or_has_gone() -> None:
    heard = Heard()
    now = [0]
    stage = staged(heard, clock_ns=lambda: now[0])
    for camera in ("door", "gate"):
        stage.on_inferred(tracked(1, camera))
    soon(lambda: len(heard.frames) == 2)
    stage.on_status(status(door=IngestPhase.STALLED, gate=IngestPhase.PLAYING))
    stage.on_status(status(door=IngestPhase.STALLED))
    soon(lambda: heard.kinds.count("end") == 1)
    assert [item.after.camera for item in heard.all if isinstance(item, ObjectEvent)][-1] == "gate"
    now[0] = 3 * 10**9
    stage.on_status(status(door=IngestPhase.STALLED))
    soon(lambda: heard.kinds.count("end") == 2)
    stage.close()
    assert heard.kinds.count("end") == 2


def test_a_library_that_fails_costs_tracks_and_one_message_and_the_frames_go_on() -> None:
    heard, said = Heard(), list[str]()
    stage = staged(heard, on_failure=said.append)
    stage.on_inferred(tracked(0))
    soon(lambda: len(heard.frames) == 1)
    Numbering.fails = True
    for number in range(1, 5):
        stage.on_inferred(tracked(number))
    soon(lambda: len(heard.frames) == 5)
    Numbering.fails = False
    stage.on_inferred(tracked(6))
    soon(lambda: len(heard.frames) == 6)
    stage.close()
    assert heard.kinds == ["new", "end", "new", "end"]
    assert [frame.track_ids is None for frame in heard.frames] == [False, True, True, True, True, False]
    assert said == [
        "door: tracking failed (ValueError: matrix contains invalid numeric entries); its tracks begin anew"
    ]


def test_tracking_that_is_too_slow_loses_frames_with_a_count_and_holds_nobody_up() -> None:
    heard = Heard()
    Numbering.gate = threading.Event()
    stage = staged(heard, max_waiting=10)
    began_s = time.monotonic()
    for number in range(100):
        stage.on_inferred(tracked(number))
    assert time.monotonic() - began_s < 20
    assert stage.lost in (89, 90)
    Numbering.gate.set()
    soon(lambda: len(heard.frames) == 100 - stage.lost)
    stage.close()


def test_receivers_close_after_the_last_events_and_their_losses_stay_their_own() -> None:
    heard = Heard()
    stage = staged(heard)
    at_once: list[Inferred] = []
    behind = Behind(stage, heard, at_once.append)
    stage.on_inferred(tracked(1))
    behind.on_inferred(replace(tracked(1)))
    soon(lambda: len(heard.frames) == 1)
    closing = threading.Thread(target=behind.close)
    closing.start()
    stage.close()
    closing.join(60)
    assert (heard.kinds, heard.is_closed, len(at_once)) == (["new", "end"], True, 1)
    assert (behind.name, behind.lost) == ("heard", 0)
