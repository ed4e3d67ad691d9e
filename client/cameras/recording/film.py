"""Annotated films of cameras: MP4 in segments, encoded on a thread of its own, at the times of the frames."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from photofinish.client.cameras.outputs.output import WaitingEvents
from photofinish.client.cameras.recording.keeping import BoundedFolder
from photofinish.client.cameras.recording.pictures import HeldPicture, Pairs, PictureSlots
from photofinish.client.cameras.values.event import LineCrossing, ObjectEvent
from photofinish.client.cameras.values.outcome import Inferred
from photofinish.client.cameras.values.status import CellStatus
from photofinish.client.detect.drawing import FONT, draw_detections
from photofinish.client.detect.saving import Write, video_writer
from photofinish.detections import detections_to_target
from photofinish.errors import ConfigError
from photofinish.machine.disk import why_not_written

FILE_NAME = re.compile(r"\d{8}T\d{9}Z\.mp4(\.part)?")
SEGMENT_S = 60.0
SLOTS = 16
MAX_WH = (1280, 720)
MAX_WAITING = 1000
LAST_FRAME_FPS = 5.0
CLOSE_S = 1.0
PAUSE_NS = 5 * 10**9
"""After the disk refused something, the camera's next segment begins no sooner."""


@dataclass(frozen=True, slots=True)
class _FilmTick:
    """A second has gone; these cameras are there."""

    cameras: frozenset[str]
    now_unix_ns: int


class _Segment:
    """One file, under another name until it is whole."""

    def __init__(self, path: Path, size_wh: tuple[int, int], begun_unix_ns: int) -> None:
        self.path = path
        self.part = path.with_name(f"{path.name}.part")
        self.size_wh = size_wh
        self.begun_unix_ns = self.last_unix_ns = begun_unix_ns
        self.frames = 0
        self._stack = ExitStack()
        self._write: Write = self._stack.enter_context(video_writer(self.part, size_wh, LAST_FRAME_FPS, is_live=True))

    def add(self, image_hwc_bgr: npt.NDArray[np.uint8], captured_unix_ns: int) -> None:
        """Raises ConfigError when the disk does not take it."""
        self.last_unix_ns = captured_unix_ns
        self._write(image_hwc_bgr, captured_unix_ns)
        self.frames += 1

    def close(self) -> None:
        """Raises ConfigError or OSError when the disk does not take its end."""
        self._stack.close()
        self.part.replace(self.path)


class Film:
    """An EventReceiver. `ask` hears of each frame in the cell's loop; the rest happens on a thread.

    lost: frames of filmed cameras that are in no film: the encoder or the disk was too slow, the disk is full, or the
    picture had been replaced by a newer one before it was asked for.
    """

    name = "video"

    def __init__(
        self,
        folder: BoundedFolder,
        slots: PictureSlots,
        *,
        segment_s: float = SEGMENT_S,
        on_failure: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._folder = folder
        self._slots = slots
        self._segment_ns = round(segment_s * 1e9)
        self._asked: set[str] = set()
        self._pairs = Pairs()
        self._segments: dict[str, _Segment] = {}
        self._paused_until_ns: dict[str, int] = {}
        self._events = WaitingEvents(self.name, self._handle, limit=MAX_WAITING, on_failure=on_failure)

    @property
    def lost(self) -> int:
        """Frames of filmed cameras that are in no film."""
        return self._events.lost + self._pairs.unpaired

    def ask(self, result: Inferred) -> None:
        """A frame was inferred just now: its picture is still held, or a newer one is. For the cell's loop."""
        if not result.is_filmed:
            return
        camera = result.camera

        def answered(picture: HeldPicture | None) -> None:
            self._asked.discard(camera)
            if picture is None:
                self._events.lose(1)
            elif not self._events.put(picture):
                picture.release()

        if camera in self._asked or not self._slots.ask(camera, result.size_wh, answered):
            self._events.lose(1)
        else:
            self._asked.add(camera)

    def on_inferred(self, result: Inferred) -> None:
        """A frame's boxes are there, and its tracks where it has some."""
        if result.is_filmed:
            self._events.put(result)

    def on_event(self, event: ObjectEvent | LineCrossing) -> None:
        """Boxes bear the names of their events; nothing else of them is drawn."""

    def on_status(self, status: CellStatus) -> None:
        """Segments end also when their camera sends nothing more."""
        self._events.put(_FilmTick(frozenset(row.camera for row in status.cameras), status.at_unix_ns))

    def close(self) -> None:
        """End all segments."""
        if self._events.close(CLOSE_S):
            for camera in list(self._segments):
                with suppress(OSError):  # counted when it was written
                    self._end(camera)
        self._slots.close()

    def _handle(self, items: list[object]) -> None:
        """Raises OSError when the disk does not take it."""
        for item in items:
            if isinstance(item, HeldPicture):
                if (result := self._pairs.with_picture(item)) is not None:
                    self._add(item, result)
            elif isinstance(item, Inferred):
                if (picture := self._pairs.with_result(item)) is not None:
                    self._add(picture, item)
            elif isinstance(item, _FilmTick):
                self._tick(item)

    def _tick(self, tick: _FilmTick) -> None:
        for camera in self._pairs.cameras() - tick.cameras:  # also one that had no segment open
            self._pairs.forget(camera)
        for camera, segment in list(self._segments.items()):
            if camera not in tick.cameras:
                self._end(camera)
            elif tick.now_unix_ns - segment.begun_unix_ns > 2 * self._segment_ns:
                self._end(camera)

    def _add(self, picture: HeldPicture, result: Inferred) -> None:
        try:
            image = _drawn(picture, result)
        finally:
            picture.release()
        camera, at_ns = result.camera, result.captured_unix_ns
        size_wh = (image.shape[1], image.shape[0])
        if 0 < self._paused_until_ns.get(camera, 0) - at_ns <= PAUSE_NS:  # more where the clock was set back
            self._events.lose(1)
            return
        segment = self._segments.get(camera)
        if segment is not None and (
            size_wh != segment.size_wh
            or at_ns < segment.last_unix_ns
            or at_ns - segment.begun_unix_ns >= self._segment_ns
        ):
            self._end(camera)
            segment = None
        try:
            if segment is None:
                path = self._folder.path_for(camera, _name(at_ns))
                segment = self._segments[camera] = _Segment(path, size_wh, at_ns)
            segment.add(image, at_ns)
        except (ConfigError, OSError) as exc:
            self._paused_until_ns[camera] = at_ns + PAUSE_NS
            if camera in self._segments:
                with suppress(OSError):  # the cause is told
                    self._end(camera)
            raise self._refused(exc) from exc

    def _end(self, camera: str) -> None:
        """Raises OSError when the disk does not take its end; nothing of it stays then, as the disk may be full."""
        segment = self._segments.pop(camera)
        try:
            segment.close()
            self._folder.keep(segment.path, segment.path.stat().st_size)
        except (ConfigError, OSError) as exc:
            self._events.lose(segment.frames)
            for path in (segment.part, segment.path):
                with suppress(OSError):
                    path.unlink()
            raise self._refused(exc) from exc

    def _refused(self, exc: ConfigError | OSError) -> OSError:
        return OSError(why_not_written(self._folder.folder, exc.__cause__ or exc, "name another --video folder"))


def _name(unix_ns: int) -> str:
    """The time of the first frame, to the millisecond, in UTC."""
    at = datetime.fromtimestamp(unix_ns / 1e9, tz=timezone.utc)
    return f"{at:%Y%m%dT%H%M%S}{at.microsecond // 1000:03d}Z.mp4"


def _drawn(picture: HeldPicture, result: Inferred) -> npt.NDArray[np.uint8]:
    """The picture with its boxes, the camera's name and the time."""
    image = cv2.cvtColor(picture.image_hwc_rgb, cv2.COLOR_RGB2BGR).astype(np.uint8, copy=False)
    placed = detections_to_target(result.detections, picture.letterbox)
    image = draw_detections(image, placed, result.class_names)
    at = datetime.fromtimestamp(result.captured_unix_ns / 1e9, tz=timezone.utc)
    text = f"{result.camera}  {at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 100_000} UTC".encode(
        "ascii", "replace"
    ).decode()
    (width, height), descent = cv2.getTextSize(text, FONT, 0.45, 1)
    low = image.shape[0]
    cv2.rectangle(image, (0, low - height - descent - 8), (width + 12, low), (0, 0, 0), cv2.FILLED)
    cv2.putText(image, text, (6, low - descent - 4), FONT, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
    return image
