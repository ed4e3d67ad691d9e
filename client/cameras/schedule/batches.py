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
from photofinish.client.cameras.schedule.under_way import ResultOrder
from photofinish.client.cameras.values.access_unit import unix_less_monotonic_ns
from photofinish.client.cameras.values.outcome import CameraDropCause, DueFrame, Inferred
from photofinish.client.cameras.wire.messages import FrameWritten, WriteFrame
from photofinish.client.triton.cuda_region import cuda_region_from_text
from photofinish.client.triton.session import Session
from photofinish.client.triton.slot import Slot
from photofinish.detections import Detections, ReadRows
from photofinish.errors import InferenceError
from photofinish.heads import detections_from_output
from photofinish.model_card import ModelCard

WRITE_TIMEOUT_S = 2.0
_Row = tuple[CameraSeat, int, DueFrame, FrameWritten]
"""Of a batch: the camera, which of its due frames it is, the picture, and what its decoder said."""
_log = logging.getLogger(__name__)


class LateWriteError(InferenceError):
    """A decode process did not write in time, and may still do so: the slot's memory must not be used again."""


class FrameWriter(Protocol):
    """The decode processes, as a batch sees them."""

    def ask(self, wish: WriteFrame) -> asyncio.Future[FrameWritten]:
        """Have a picture written; the answer says whether it was. A process that ends answers that it was not."""

    def writes_on_gpu(self, camera: str, gpu: int) -> bool:
        """Whether the camera's decode process can write into memory of this GPU that is shared with it."""

    def forget_region(self, region: str, gpu: int) -> None:
        """Memory of this GPU that decoders wrote into is closed now."""


class StagedSlot:
    """A slot of the session and the memory into which decoders write for it: the slot's own where it can be shared.

    region: of the host; gpu_region: of a GPU, for decoders that have their pictures there, "" for none; gpu: which one.
    """

    def __init__(self, slot: Slot) -> None:
        self.slot = slot
        self.region = slot.direct
        self.datatype = slot.input_array.dtype.name  # numpy puts the name together each time
        self.gpu_region = slot.on_device
        self.gpu = cuda_region_from_text(self.gpu_region).device_id if self.gpu_region else -1
        self._on_gpu: set[int] = set()
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

    def begin(self, on_gpu: Iterable[int]) -> None:
        """Another batch, whose pictures at these positions are written into the GPU's memory."""
        self._on_gpu = set(on_gpu)

    def move(self, target: int, source: int) -> None:
        """Bring a picture to another's position, because that one is missing."""
        if source in self._on_gpu:
            self.slot.move_on_device(target, source)
            self._on_gpu.add(target)
        else:
            self.pictures[target] = self.pictures[source]
            self._on_gpu.discard(target)

    def deliver(self, count: int) -> None:
        """Bring the first pictures to where the session sends them from."""
        self.slot.rows_on_device = frozenset(row for row in self._on_gpu if row < count)
        if self._staged is not None:
            for row in range(count):
                if row not in self._on_gpu:
                    self.slot.input_array[row] = self._staged[row]

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


def _drop(batch: Iterable[_Row], cause: CameraDropCause) -> None:
    for seat, tick, _, _ in batch:
        if tick in seat.account.pending:
            seat.account.close_dropped(tick, cause)


class BatchSender:
    """Fills slots, several at once. on_inferred hears of every frame, of one camera in their order.

    on_ready hears that a picture may be sent that came while its camera's one before was written. A failure of the
    server is raised. read_rows: of answers, in place of numpy where it can. cause_at_end: of frames whose picture or
    answer is not waited for.
    """

    def __init__(
        self,
        session: Session,
        card: ModelCard,
        writer: FrameWriter,
        on_inferred: Callable[[Inferred], None],
        *,
        on_ready: Callable[[], None] = lambda: None,
        read_rows: ReadRows | None = None,
        clock_ns: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        self._session = session
        self._card = card
        self._writer = writer
        self.cause_at_end = CameraDropCause.STOPPED
        self._order = ResultOrder(on_inferred)
        self._on_ready = on_ready
        self._read_rows = read_rows
        self._clock_ns = clock_ns
        self._requests = itertools.count()

    async def send(self, staged: StagedSlot, seats: list[CameraSeat]) -> None:
        """One request with these cameras' newest pictures.

        Raises InferenceError, with their frames accounted for; LateWriteError when the slot must not be used again.
        """
        begun_ns = self._clock_ns()
        asked, on_gpu = [], []
        for position, seat in enumerate(seats):
            seat.last_served_ns = begun_ns
            seat.begin_writing()
            wish = self._wish(staged, seat, position)
            if wish.region == staged.gpu_region:
                on_gpu.append(position)
            asked.append(self._writer.ask(wish))
        staged.begin(on_gpu)
        try:
            done, _ = await asyncio.wait(asked, timeout=WRITE_TIMEOUT_S)
        except asyncio.CancelledError:
            for seat in seats:
                seat.lose_writing(self.cause_at_end)
            raise
        if len(done) < len(asked):
            for seat in seats:
                seat.lose_writing(CameraDropCause.NOT_DECODABLE)
            raise LateWriteError(f"a decode process wrote no picture within {WRITE_TIMEOUT_S:g} s")
        batch: list[_Row] = []
        try:
            for position, (seat, future) in enumerate(zip(seats, asked, strict=True)):
                answer = future.result()
                frame = answer.frame
                if frame is None:
                    _log.info("%s: %s", seat.camera.name, answer.message)
                tick = seat.written(frame)
                if tick is None or frame is None:
                    continue
                batch.append((seat, tick, frame, answer))
                if position != len(batch) - 1:  # a picture before it is missing
                    staged.move(len(batch) - 1, position)
        except BaseException:
            _drop(batch, CameraDropCause.SERVER_FAILED)
            for seat in seats:
                seat.lose_writing(CameraDropCause.SERVER_FAILED)
            raise
        if any(seat.is_ready for seat in seats):
            self._on_ready()
        if batch:
            await self._infer(staged, batch)

    async def _infer(self, staged: StagedSlot, batch: list[_Row]) -> None:
        for seat, tick, _, _ in batch:
            self._order.expect(seat, tick)
        try:
            staged.deliver(len(batch))
            rows = await asyncio.wrap_future(self._session.submit(staged.slot, len(batch)))
            self._tell(batch, rows)
        except asyncio.CancelledError:
            _drop(batch, self.cause_at_end)
            raise
        except BaseException:
            _drop(batch, CameraDropCause.SERVER_FAILED)
            raise
        finally:
            for seat, tick, _, _ in batch:
                self._order.close(seat, tick)

    def _tell(self, batch: list[_Row], rows: npt.NDArray[np.float32]) -> None:
        finished_ns, unix_ns = self._clock_ns(), unix_less_monotonic_ns()
        for (seat, tick, frame, answer), output in zip(batch, rows, strict=False):
            if tick not in seat.account.pending or answer.letterbox is None:
                continue  # the camera was taken away meanwhile
            camera = seat.camera
            least = camera.min_confidence
            found = detections_from_output(
                output, self._card, answer.letterbox, min_confidence=least, read_rows=self._read_rows
            )
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
            self._order.tell(seat, tick, inferred)

    def _wish(self, staged: StagedSlot, seat: CameraSeat, position: int) -> WriteFrame:
        array, camera = staged.pictures, seat.camera.name
        is_shared = staged.gpu_region and self._card.contract == "frames"
        is_on_gpu = is_shared and self._writer.writes_on_gpu(camera, staged.gpu)
        return WriteFrame(
            request=next(self._requests),
            camera=camera,
            region=staged.gpu_region if is_on_gpu else staged.region,
            shape=array.shape,
            datatype=staged.datatype,
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
