"""Snapshots: which frames are worth one, what the file shows, a disk that is full, and a writer that hangs."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from photofinish.client.cameras.events import snapshots as snapshots_module
from photofinish.client.cameras.events.objects import CameraObjects, Sighting
from photofinish.client.cameras.events.snapshots import (
    FILE_NAME,
    PictureAnswer,
    SnapshotJob,
    SnapshotWishes,
    SnapshotWriter,
)
from photofinish.client.cameras.recording.keeping import BoundedFolder
from photofinish.client.cameras.recording.pictures import HeldPicture
from photofinish.client.cameras.values.event import ObjectEvent, Snapshot
from photofinish.client.cameras.values.outcome import Inferred
from photofinish.detections import Detections
from photofinish.letterbox import Letterbox
from tests.client.cameras.outputs.test_webhook import soon
from tests.client.cameras.recording.held import PERIOD_NS, result_at

IDS = ("1700000000.000000-aaaaaa", "1700000000.000000-bbbbbb")


def seen(number: int, *scores: float) -> Inferred:
    """A frame in which the objects of IDS were seen so surely."""
    found = Detections(
        boxes_xyxy=np.array([[100, 100, 200, 200], [300, 100, 400, 200]], np.float32)[: len(scores)],
        confidence=np.array(scores, np.float32),
        class_id=np.zeros(len(scores), np.int32),
    )
    return replace(result_at(number), detections=found, track_ids=IDS[: len(scores)])


def picture(number: int, size_wh: tuple[int, int] = (640, 360), released: list[int] | None = None) -> HeldPicture:
    image = np.full((size_wh[1], size_wh[0], 3), 90, np.uint8)
    letterbox = Letterbox(source_wh=(640, 360), target_wh=size_wh)
    held = HeldPicture("door", number * PERIOD_NS, image, letterbox)
    return held.lies_in(lambda: released.append(number) if released is not None else None)


class Wishes:
    """What was asked for, and what was written."""

    def __init__(self, *, is_taken: bool = True) -> None:
        self.asked = 0
        self.jobs: list[SnapshotJob] = []
        self.is_taken = is_taken
        self.released: list[int] = []
        self.wishes = SnapshotWishes(self._ask, self._write)
        self.objects = CameraObjects("door", lambda start: IDS[len(self.objects)])
        for event in self.objects.see(
            [Sighting(track=n, label="car", score=0.5, box_xyxy=(0, 0, 1, 1)) for n in range(2)],
            frame_unix_ns=1,
            seen_ns=1,
            size_wh=(640, 360),
        ):
            self.wishes.hear(event)

    def _ask(self, camera: str, size_wh: tuple[int, int]) -> None:
        self.asked += 1

    def _write(self, job: SnapshotJob) -> bool:
        self.jobs.append(job)
        return self.is_taken

    def answer(self, number: int | None) -> None:
        held = None if number is None else picture(number, released=self.released)
        self.wishes.take(PictureAnswer("door", held))

    def end(self) -> list[ObjectEvent]:
        events = self.objects.end_all()
        for event in events:
            self.wishes.hear(event)
        return events


def test_a_picture_is_asked_for_when_an_object_is_seen_better_than_before() -> None:
    run = Wishes()
    run.wishes.consider(seen(1, 0.5))
    run.wishes.consider(seen(2, 0.9))  # one question at a time
    assert run.asked == 1
    run.answer(1)
    assert [job.places for job in run.jobs] == [(0,)]
    for number, score in ((3, 0.5), (4, 0.52), (5, 0.6)):
        run.wishes.consider(seen(number, score))
    assert run.asked == 2
    run.answer(5)
    assert run.jobs[-1].result.tick == 5


def test_one_picture_serves_all_objects_in_it_and_a_newer_one_waits_for_its_boxes() -> None:
    run = Wishes()
    run.wishes.consider(seen(1, 0.5, 0.6))
    run.answer(3)
    run.wishes.consider(seen(2, 0.5, 0.6))
    assert run.jobs == []
    run.wishes.consider(seen(3, 0.5, 0.6))
    assert [(job.result.tick, job.places) for job in run.jobs] == [(3, (0, 1))]


def test_what_has_gone_needs_no_picture_and_what_could_not_be_had_is_asked_for_again() -> None:
    run = Wishes()
    run.wishes.consider(seen(1, 0.5))
    run.answer(None)
    run.wishes.consider(seen(2, 0.5))
    assert run.asked == 2
    run.end()
    run.answer(2)
    run.wishes.consider(seen(3, 0.9))
    assert (run.asked, run.jobs, run.released) == (2, [], [2])


def test_a_picture_that_the_writer_does_not_take_is_released_and_asked_for_again() -> None:
    run = Wishes(is_taken=False)
    run.wishes.consider(seen(1, 0.5))
    run.answer(1)
    assert run.released == [1]
    run.wishes.consider(seen(2, 0.5))
    assert run.asked == 2


def kept(folder: Path, max_files: int = 100) -> BoundedFolder:
    return BoundedFolder(folder, FILE_NAME, max_files=max_files, max_bytes=10**9).open()


def test_the_file_shows_the_object_with_its_box(tmp_path: Path) -> None:
    told: list[tuple[str, str, Snapshot]] = []
    released: list[int] = []
    writer = SnapshotWriter(kept(tmp_path), lambda *args: told.append(args))
    assert writer.write(SnapshotJob(picture(1, (320, 180), released), seen(1, 0.5, 0.75), (1,)))
    soon(lambda: released == [1])
    writer.close()
    ((camera, event_id, snapshot),) = told
    assert (camera, event_id, snapshot.score) == ("door", IDS[1], 0.75)
    assert snapshot.box_xyxy == (300, 100, 400, 200)
    assert Path(snapshot.path) == tmp_path / "door" / f"{IDS[1]}.jpg"
    image = cv2.imread(snapshot.path)
    assert image is not None
    assert image.shape == (180, 320, 3)
    assert np.ptp(image[75, 150].astype(int)) > 60  # the left side of the box, at half the size
    assert abs(image[75, 75].astype(int) - 90).max() < 12  # the other object has none
    assert FILE_NAME.fullmatch(Path(snapshot.path).name)
    assert [path.name for path in (tmp_path / "door").iterdir()] == [f"{IDS[1]}.jpg"]


def test_a_full_disk_loses_snapshots_with_a_count_and_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, told, released = list[str](), list[object](), list[int]()

    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    writer = SnapshotWriter(kept(tmp_path), lambda *args: told.append(args), on_failure=said.append)
    monkeypatch.setattr(snapshots_module, "_replace", full)
    for number in range(3):
        assert writer.write(SnapshotJob(picture(number, released=released), seen(number, 0.5), (0,)))
        soon(lambda number=number: len(released) > number)  # type: ignore[misc]
    soon(lambda: writer.lost == 3)
    monkeypatch.undo()
    assert len(said) == 1
    assert "the disk is full" in said[0]
    assert "name another --snapshots folder" in said[0]
    assert writer.write(SnapshotJob(picture(9, released=released), seen(9, 0.5), (0,)))
    soon(lambda: len(told) == 1)
    writer.close()
    assert (writer.lost, len(released)) == (3, 4)


def test_a_disk_that_hangs_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    monkeypatch.setattr(snapshots_module, "_replace", lambda path, content: gate.wait(60) and path.write_bytes(content))
    writer = SnapshotWriter(kept(tmp_path), lambda *args: None)
    taken = [writer.write(SnapshotJob(picture(number), seen(number, 0.5), (0,))) for number in range(20)]
    assert taken.count(True) in (4, 5)
    assert writer.lost == taken.count(False)
    gate.set()
    writer.close()


def test_what_a_killed_run_or_a_clock_that_was_not_set_left_counts_as_ours(tmp_path: Path) -> None:
    left = tmp_path / "door"
    left.mkdir()
    for name in (".1700000000.250000-abcdef.jpg.new", "12.000000-abcdef.jpg", "1700000000.250000-abcdef.jpg"):
        (left / name).write_bytes(b"x")
    (left / "mine.jpg").write_bytes(b"x")
    BoundedFolder(tmp_path, FILE_NAME, max_files=1, max_bytes=10**9).open()
    assert sorted(path.name for path in left.iterdir()) == ["1700000000.250000-abcdef.jpg", "mine.jpg"]
