"""Due frames to the server: the pictures that are there now, in one request, the most important camera first."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from photofinish.client.cameras.schedule.seat import CameraSeat
from photofinish.client.cameras.values.access_unit import unix_less_monotonic_ns
from photofinish.client.cameras.values.outcome import CameraDropCause, DueFrame, Inferred
from photofinish.client.cameras.wire.messages import FrameWritten, WriteFrame
from photofinish.client.triton.session import Session, Slot
from photofinish.detections import Detections
from photofinish.errors import InferenceError
from photofinish.heads import detections_from_output
from photofinish.model_card import ModelCard

WRITE_TIMEOUT_S = 2.0
_log = logging.getLogger(__name__)


class LateWriteError(InferenceError):
    """A decode process did not write in time, and may still do so: the slot's memory must not be used again."""


class FrameWriter(Protocol):
    """The decode processes, as a batch sees them."""

    def ask(self, wish: WriteFrame) -> asyncio.Future[FrameWritten]:
        """Have a picture written; the answer says whether it was. A process that ends answers that it was not."""


class StagedSlot:
    """A slot of the session and the memory into which decoders write for it: the slot's own where it can be shared."""

    def __init__(self, slot: Slot) -> None:
        self.slot = slot
        self.region = slot.direct
        self._descriptor = -1
        self._staged: npt.NDArray[Any] | None = None
        if not self.region:
            array = slot.input_array
            self._descriptor = os.memfd_create("photofinish-cameras")
            os.truncate(self._descriptor, array.nbytes)
            memory = np.memmap(open(self._descriptor, "r+b", closefd=False), dtype=array.dtype, shape=array.shape)
            self._staged = memory
            self.region = f"{os.getpid()}/{self._descriptor}/{os.fstat(self._descriptor).st_ino}"

    @property
    def pictures(self) -> npt.NDArray[Any]:
        """What decoders write into, batch first."""
        return self.slot.input_array if self._staged is None else self._staged

    def deliver(self, count: int) -> None:
        """Bring the first pictures to where the session sends them from."""
        if self._staged is not None:
            self.slot.input_array[:count] = self._staged[:count]

    def close(self) -> None:
        """Give the memory of our own back."""
        if self._descriptor >= 0:
            self._staged = None
            os.close(self._descriptor)
            self._descriptor = -1


def chosen_seats(seats: Iterable[CameraSeat], count: int) -> list[CameraSeat]:
    """Those that are ready, the highest priority first, and of one priority who was served longest ago."""
    ready = [seat for seat in seats if seat.is_ready]
    ready.sort(key=lambda seat: (-seat.camera.priority, seat.last_served_ns))
    return ready[:count]


class BatchSender:
    """Fills one slot after the other. on_inferred hears of every frame; a failure of the server is raised."""

    def __init__(
        self,
        session: Session,
        card: ModelCard,
        writer: FrameWriter,
        on_inferred: Callable[[Inferred], None],
        clock_ns: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        self._session = session
        self._card = card
        self._writer = writer
        self._on_inferred = on_inferred
        self._clock_ns = clock_ns
        self._requests = itertools.count()

    async def send(self, staged: StagedSlot, seats: list[CameraSeat]) -> None:
        """One request with these cameras' newest pictures.

        Raises InferenceError, with their frames accounted for; LateWriteError when the slot must not be used again.
        """
        begun_ns = self._clock_ns()
        asked = []
        for position, seat in enumerate(seats):
            seat.last_served_ns = begun_ns
            seat.begin_writing()
            asked.append(self._writer.ask(self._wish(staged, seat, position)))
        try:
            done, _ = await asyncio.wait(asked, timeout=WRITE_TIMEOUT_S)
        except asyncio.CancelledError:
            for seat in seats:
                seat.lose_writing(CameraDropCause.SERVER_FAILED)
            raise
        if len(done) < len(asked):
            for seat in seats:
                seat.lose_writing(CameraDropCause.NOT_DECODABLE)
            raise LateWriteError(f"a decode process wrote no picture within {WRITE_TIMEOUT_S:g} s")
        batch: list[tuple[CameraSeat, int, DueFrame, FrameWritten]] = []
        for position, (seat, future) in enumerate(zip(seats, asked, strict=True)):
            answer = future.result()
            frame = answer.frame
            if frame is None:
                _log.info("%s: %s", seat.camera.name, answer.message)
            tick = seat.written(frame)
            if tick is None or frame is None:
                continue
            if position != len(batch):  # a picture before it is missing
                staged.pictures[len(batch)] = staged.pictures[position]
            batch.append((seat, tick, frame, answer))
        if batch:
            await self._infer(staged, batch)

    async def _infer(self, staged: StagedSlot, batch: list[tuple[CameraSeat, int, DueFrame, FrameWritten]]) -> None:
        try:
            staged.deliver(len(batch))
            rows = await asyncio.wrap_future(self._session.submit(staged.slot, len(batch)))
        except BaseException as exc:
            cause = CameraDropCause.SERVER_FAILED if isinstance(exc, InferenceError) else CameraDropCause.STOPPED
            for seat, tick, _, _ in batch:
                if tick in seat.account.pending:
                    seat.account.close_dropped(tick, cause)
            raise
        finished_ns, unix_ns = self._clock_ns(), unix_less_monotonic_ns()
        for (seat, tick, frame, answer), output in zip(batch, rows, strict=False):
            if tick not in seat.account.pending or answer.letterbox is None:
                continue  # the camera was taken away meanwhile
            camera = seat.camera
            found = detections_from_output(output, self._card, answer.letterbox, min_confidence=camera.min_confidence)
            inferred = Inferred(
                camera=camera.name,
                tick=tick,
                captured_ns=frame.captured_ns,
                captured_unix_ns=frame.captured_ns + unix_ns,
                clock=frame.clock,
                arrived_ns=frame.arrived_ns,
                finished_ns=finished_ns,
                size_wh=frame.size_wh,
                detections=_of_classes(found, camera.classes, self._card.class_names),
                class_names=self._card.class_names,
                variant=self._card.variant,
                batch_size=len(batch),
                zones=camera.zones,
                lines=camera.lines,
                is_tracked=camera.is_tracked,
                is_filmed=bool(camera.video),
                connection=frame.connection,
            )
            seat.close_inferred(tick, inferred.latency_ns, finished_ns)
            self._on_inferred(inferred)

    def _wish(self, staged: StagedSlot, seat: CameraSeat, position: int) -> WriteFrame:
        array = staged.pictures
        return WriteFrame(
            request=next(self._requests),
            camera=seat.camera.name,
            region=staged.region,
            shape=array.shape,
            datatype=array.dtype.name,
            position=position,
            contract=self._card.contract,
            input_wh=self._card.input_wh,
        )


def _of_classes(found: Detections, names: tuple[str, ...], class_names: tuple[str, ...]) -> Detections:
    """Only the classes that the camera's row names; all when it names none."""
    if not names:
        return found
    wanted = [number for number, name in enumerate(class_names) if name in names]
    return found.select(np.isin(found.class_id, wanted))
