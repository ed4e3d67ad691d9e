"""Calibration frames of many cameras at once, spread evenly over the cameras and over time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from photofinish.client.calibrate.collecting import Collection
from photofinish.client.calibrate.manifest import Manifest, SourceState
from photofinish.client.cameras.recording.pictures import HeldPicture, PictureSlots
from photofinish.client.cameras.supervise.crew import CellCrew
from photofinish.client.cameras.values.camera import Camera
from photofinish.client.cameras.values.outcome import DueFrame
from photofinish.client.cameras.values.status import IngestReport
from photofinish.client.cameras.wire.messages import DecodeCamera, ProcessKind
from photofinish.errors import ConfigError, SourceError
from photofinish.frame import Frame
from photofinish.machine.disk import log_folder

FIRST_PICTURE_S = 30.0
"""So long the first picture of any camera is waited for; the time of the collection begins with it."""
DEAD_S = 20.0
"""After so long a camera without a picture is told of."""
LOOK_EVERY_S = 0.02
SLOTS = 4
MAX_WH = (3840, 2160)


@dataclass(slots=True, kw_only=True)
class _Sitter:
    """One camera. newest: its newest picture; offered: the number of the one that was looked at last."""

    camera: Camera
    key: str
    state: SourceState
    first_slot: int
    phase: float
    newest: DueFrame | None = None
    offered: int = 0
    is_asked: bool = False
    has_duplicate: bool = False
    message: str = "it sends no picture"
    is_told: bool = False


class CameraCollection:
    """Collects from cameras until all parts of time have gone by. on_part hears of every step."""

    def __init__(
        self,
        cameras: Sequence[Camera],
        folder: Path,
        *,
        count: int,
        duration_s: float,
        min_distance: int,
        on_notice: Callable[[str], None],
        on_part: Callable[[SourceState, int], None] = lambda state, kept: None,
    ) -> None:
        """count: of all cameras together, at most. Raises ConfigError when it is less than one for each."""
        slots = count // len(cameras)
        if slots < 1:
            raise ConfigError(
                f"--frames {count} is less than one for each of {len(cameras)} cameras; give --frames {len(cameras)}"
            )
        self._collection = Collection(folder, min_distance=min_distance)
        self._slot_s = duration_s / slots
        self._duration_s = duration_s
        self._on_notice, self._on_part = on_notice, on_part
        self._seats: dict[str, _Sitter] = {}
        for number, camera in enumerate(cameras):
            key, state = self._collection.source(camera.shown_url, camera.name, slots)
            self._seats[camera.name] = _Sitter(
                camera=camera, key=key, state=state, first_slot=state.next_slot, phase=number / len(cameras) / 2
            )
        self._crew = CellCrew(
            {"ingest": 1, "decode": 1},
            log_folder=log_folder(),
            on_value=self._hear,
            on_change=self._on_process,
            on_notice=on_notice,
        )
        self._pictures = PictureSlots(lambda: self._crew.writer, SLOTS, MAX_WH)
        self._answers: asyncio.Queue[tuple[_Sitter, int, HeldPicture]] = asyncio.Queue()

    async def run(self) -> Manifest:
        """Collect. Raises SourceError when no camera gives a picture."""
        writing = asyncio.ensure_future(self._keep_answers())
        waiting = [seat for seat in self._seats.values() if not seat.state.is_complete]
        for seat in waiting:
            self._crew.place(seat.camera)
        try:
            await self._crew.open()
            await self._go_through(waiting)
            await self._answers.join()
        finally:
            writing.cancel()
            await self._crew.close()
            self._pictures.close()
            for seat in waiting:
                if seat.newest is None:  # the next run tries it again
                    seat.state.next_slot = seat.first_slot
            self._collection.manifest.save(self._collection.folder)
        for seat in waiting:
            if seat.newest is None:
                self._tell_dead(seat)
        if not self._collection.manifest.frames:
            raise SourceError("no camera gave a picture; `photofinish cameras check FILE` says what to do about each")
        return self._collection.manifest

    async def _go_through(self, waiting: list[_Sitter]) -> None:
        opened_s = time.monotonic()
        begun_s: float | None = None
        while not all(seat.state.is_complete for seat in waiting):
            await asyncio.sleep(LOOK_EVERY_S)
            now_s = time.monotonic()
            if begun_s is None and any(seat.newest for seat in waiting):
                begun_s = now_s
            if begun_s is None and now_s - opened_s > FIRST_PICTURE_S:
                return
            for seat in waiting:
                if begun_s is not None and not seat.state.is_complete:
                    self._step(seat, (now_s - begun_s) / self._slot_s)
                if seat.newest is None and not seat.is_told and now_s - opened_s > DEAD_S:
                    self._tell_dead(seat)

    def _step(self, seat: _Sitter, parts: float) -> None:
        """Ask for the picture of this part of the time, or go on to the next. parts: that have gone by."""
        state = seat.state
        slot = seat.first_slot + int(parts)
        if slot > state.next_slot and not seat.is_asked:
            state.duplicates += seat.has_duplicate
            seat.has_duplicate = False
            state.next_slot = min(slot, state.slots)
            self._tell_part()
        newest = seat.newest
        if slot != state.next_slot or seat.is_asked or newest is None or newest.sequence == seat.offered:
            return
        if parts % 1 < seat.phase:
            return

        def answered(picture: HeldPicture | None) -> None:
            if picture is None:
                seat.is_asked = False
            else:
                self._answers.put_nowait((seat, slot, picture))

        if self._pictures.ask(seat.camera.name, newest.size_wh, answered):
            seat.is_asked, seat.offered = True, newest.sequence

    async def _keep_answers(self) -> None:
        """One picture after the other, beside the loop."""
        while True:
            seat, slot, picture = await self._answers.get()
            try:
                seat.has_duplicate = not await asyncio.to_thread(self._keep, seat, slot, picture)
            finally:
                picture.release()
                seat.is_asked = False
                self._answers.task_done()
            self._tell_part()

    def _keep(self, seat: _Sitter, slot: int, picture: HeldPicture) -> bool:
        image = cv2.cvtColor(picture.image_hwc_rgb, cv2.COLOR_RGB2BGR).astype(np.uint8, copy=False)
        frame = Frame(image_hwc_bgr=image, stream_id=seat.camera.name, index=slot, captured_ns=picture.captured_ns)
        return self._collection.offer(seat.key, frame)

    def _tell_part(self) -> None:
        states = [seat.state for seat in self._seats.values()]
        together = SourceState(
            name="cameras",
            slots=sum(state.slots for state in states),
            next_slot=sum(state.next_slot for state in states),
            duplicates=sum(state.duplicates for state in states),
        )
        self._on_part(together, len(self._collection.manifest.frames))

    def _tell_dead(self, seat: _Sitter) -> None:
        if not seat.is_told:
            seat.is_told = True
            self._on_notice(f"{seat.camera.name} is skipped: {seat.message}")

    def _on_process(self, kind: ProcessKind, cameras: list[str], is_there: bool) -> None:
        """A process came, and is told of its cameras."""
        for name in cameras if is_there else ():
            if kind == "decode":
                rate = min(max(4 / self._slot_s, 0.2), 2.0)
                self._crew.tell_decoder(DecodeCamera(camera=name, frames_per_s=rate))
                self._seats[name].offered = 0
            else:
                self._crew.tell_ingest(self._seats[name].camera)

    def _hear(self, value: Any) -> None:
        """What the processes tell."""
        if isinstance(value, DueFrame):
            self._seats[value.camera].newest = value
            return
        for item in value:
            if isinstance(item, IngestReport) and item.message:
                self._seats[item.camera].message = item.message
