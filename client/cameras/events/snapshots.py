"""Snapshots of objects: the picture in which each was seen best, as a JPEG with its box."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from photofinish.client.cameras.outputs.output import WaitingEvents
from photofinish.client.cameras.recording.keeping import BoundedFolder
from photofinish.client.cameras.recording.pictures import HeldPicture, Pairs
from photofinish.client.cameras.values.event import LineCrossing, ObjectEvent, Snapshot
from photofinish.client.cameras.values.outcome import Inferred
from photofinish.client.cameras.values.status import CellStatus
from photofinish.client.detect.drawing import draw_detections
from photofinish.detections import detections_to_target
from photofinish.machine.disk import why_not_written

FILE_NAME = re.compile(r"\d{1,11}\.\d{6}-[0-9a-f]{6}\.jpg|\.\d{1,11}\.\d{6}-[0-9a-f]{6}\.jpg\.new")
"""Of a clock that was not set yet too, and what a killed process left."""
BETTER = 1.05
"""A picture replaces the one before when the object is so much surer in it."""
QUALITY = 88
SLOTS = 4


@dataclass(frozen=True, slots=True)
class PictureAnswer:
    """What came of asking for a camera's picture."""

    camera: str
    picture: HeldPicture | None


@dataclass(frozen=True, slots=True)
class SnapshotJob:
    """Boxes of one result that are to be written, each into a file of its own, from its picture."""

    picture: HeldPicture
    result: Inferred
    places: tuple[int, ...]


class SnapshotWishes:
    """Decides which frames are worth a snapshot. For the stage's thread.

    ask(camera, size_wh) begins asking for the picture, whose answer comes back by `take`; write hands a job on, and
    says whether it was taken.
    """

    def __init__(self, ask: Callable[[str, tuple[int, int]], None], write: Callable[[SnapshotJob], bool]) -> None:
        self._ask = ask
        self._write = write
        self._pairs = Pairs()
        self._asked: set[str] = set()
        self._best: dict[str, float] = {}

    def consider(self, result: Inferred) -> None:
        """A frame was tracked: its picture is used, or asked for where it shows an object better than before."""
        if (picture := self._pairs.with_result(result)) is not None:
            self._use(picture, result)
        if result.camera not in self._asked and self._worth(result):
            self._asked.add(result.camera)
            self._ask(result.camera, result.size_wh)

    def take(self, answer: PictureAnswer) -> None:
        """A picture is there, or could not be had."""
        self._asked.discard(answer.camera)
        if answer.picture is not None and (result := self._pairs.with_picture(answer.picture)) is not None:
            self._use(answer.picture, result)

    def hear(self, event: ObjectEvent | LineCrossing) -> None:
        """An object that has gone needs no better picture."""
        if isinstance(event, ObjectEvent) and event.kind == "end":
            self._best.pop(event.after.event_id, None)
        elif isinstance(event, ObjectEvent) and event.kind == "new":
            self._best[event.after.event_id] = 0.0

    def forget(self, camera: str) -> None:
        """The camera has gone."""
        self._pairs.forget(camera)
        self._asked.discard(camera)

    def _worth(self, result: Inferred) -> tuple[int, ...]:
        """Places of the boxes that show an object better than its snapshot does."""
        scores = result.detections.confidence
        return tuple(
            place
            for place, event_id in enumerate(result.track_ids or ())
            if event_id in self._best and scores[place] > self._best[event_id] * BETTER
        )

    def _use(self, picture: HeldPicture, result: Inferred) -> None:
        places = self._worth(result)
        if not places or not self._write(SnapshotJob(picture, result, places)):
            picture.release()
            return
        for place in places:
            self._best[(result.track_ids or ())[place]] = float(result.detections.confidence[place])


class SnapshotWriter:
    """An Output that only writes. on_written(camera, event_id, snapshot) hears of each file; lost counts the others."""

    name = "snapshots"

    def __init__(
        self,
        folder: BoundedFolder,
        on_written: Callable[[str, str, Snapshot], None],
        *,
        on_failure: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._folder = folder
        self._on_written = on_written
        self._jobs = WaitingEvents(self.name, self._handle, limit=SLOTS, on_failure=on_failure)

    @property
    def lost(self) -> int:
        """Pictures that could not be written."""
        return self._jobs.lost

    def write(self, job: SnapshotJob) -> bool:
        """Write its pictures by and by; False when too many wait."""
        return self._jobs.put(job)

    def on_inferred(self, result: Inferred) -> None:
        """Frames come with their jobs."""

    def on_status(self, status: CellStatus) -> None:
        """Nothing of it is written."""

    def close(self) -> None:
        """Write what waits, for a moment."""
        self._jobs.close()

    def _handle(self, jobs: list[SnapshotJob]) -> None:
        """Raises OSError when the disk does not take it."""
        for job in jobs:
            try:
                image = cv2.cvtColor(job.picture.image_hwc_rgb, cv2.COLOR_RGB2BGR).astype(np.uint8, copy=False)
                for place in job.places:
                    self._write_one(job, place, image)
            except OSError as exc:
                raise OSError(why_not_written(self._folder.folder, exc, "name another --snapshots folder")) from exc
            finally:
                job.picture.release()

    def _write_one(self, job: SnapshotJob, place: int, image_hwc_bgr: npt.NDArray[np.uint8]) -> None:
        result, event_id = job.result, (job.result.track_ids or ())[place]
        found = result.detections
        one = found.select(np.arange(len(found)) == place)
        placed = detections_to_target(one, job.picture.letterbox)
        drawn = draw_detections(image_hwc_bgr, placed, result.class_names)
        done, encoded = cv2.imencode(".jpg", drawn, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        if not done:
            raise OSError("the picture cannot be encoded")
        path = self._folder.path_for(result.camera, f"{event_id}.jpg")
        _replace(path, encoded.tobytes())
        self._folder.keep(path, len(encoded))
        x1, y1, x2, y2 = one.boxes_xyxy[0].tolist()
        snapshot = Snapshot(
            path=str(path.absolute()),
            frame_unix_ns=result.captured_unix_ns,
            score=float(one.confidence[0]),
            box_xyxy=(x1, y1, x2, y2),
        )
        self._on_written(result.camera, event_id, snapshot)


def _replace(path: Path, content: bytes) -> None:
    """In one rename, so that nobody reads half a picture. Raises OSError, and leaves nothing."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
