"""A batch whose rows cannot be put together costs its frames, each with its cause, and nothing later."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import pytest

from photofinish.client.cameras.schedule.batches import BatchSender
from photofinish.client.cameras.schedule.seat import CameraSeat
from photofinish.client.cameras.values.camera import Camera
from photofinish.client.cameras.values.outcome import CameraDropCause, DueFrame
from photofinish.client.cameras.wire.messages import FrameWritten, WriteFrame
from photofinish.errors import InferenceError
from photofinish.letterbox import letterbox_from_image

PICTURE = np.zeros((64, 64, 3), np.uint8)


@dataclass
class BrokenSlot:
    """A StagedSlot on a GPU that copies no row."""

    gpu_region: str = "gpu"
    gpu: int = 0
    region: str = "host"
    pictures: npt.NDArray[np.uint8] = field(default_factory=lambda: np.zeros((4, 64, 64, 3), np.uint8))

    def begin(self, on_gpu: list[int]) -> None:
        assert on_gpu == [0, 1, 2]

    def move(self, target: int, source: int) -> None:
        raise InferenceError("the GPU copies nothing", model="toy", url="here")


class Writer:
    """Every camera's picture is written, but that of "empty"."""

    def __init__(self, frames: dict[str, DueFrame]) -> None:
        self._frames = frames

    def ask(self, wish: WriteFrame) -> asyncio.Future[FrameWritten]:
        future: asyncio.Future[FrameWritten] = asyncio.get_running_loop().create_future()
        future.set_result(
            FrameWritten(
                request=wish.request,
                camera=wish.camera,
                frame=self._frames.get(wish.camera),
                letterbox=letterbox_from_image(PICTURE, (64, 64)),
            )
        )
        return future

    def writes_on_gpu(self, camera: str, gpu: int) -> bool:
        return True


def test_frames_of_a_row_that_cannot_be_moved_are_dropped_and_their_cameras_go_on() -> None:
    seats = [CameraSeat(Camera(name=name, url="rtsp://cam"), 0) for name in ("empty", "first", "second")]
    frames = {}
    for seat in seats:
        name, at_ns = seat.camera.name, seat.schedule.time_ns(0)
        seat.advance(at_ns)
        frame = DueFrame(camera=name, sequence=1, captured_ns=at_ns, arrived_ns=at_ns, decoded_ns=at_ns,
                         clock="arrival", size_wh=(64, 64))  # fmt: skip
        seat.take(frame, at_ns)
        assert seat.waiting
        if name != "empty":
            frames[name] = frame
    card = SimpleNamespace(contract="frames", input_wh=(64, 64))
    sender = BatchSender(SimpleNamespace(), card, Writer(frames), lambda found: None)  # type: ignore[arg-type]

    async def send() -> None:
        with pytest.raises(InferenceError, match="copies nothing"):
            await sender.send(BrokenSlot(), seats)  # type: ignore[arg-type]

    asyncio.run(send())
    for seat in seats[1:]:
        assert not seat.account.pending
        assert seat.account.count().dropped == {CameraDropCause.SERVER_FAILED: 1}
        at_ns = seat.schedule.time_ns(1)
        seat.advance(at_ns)
        seat.take(DueFrame(camera=seat.camera.name, sequence=2, captured_ns=at_ns, arrived_ns=at_ns, decoded_ns=at_ns,
                           clock="arrival", size_wh=(64, 64)), at_ns)  # fmt: skip
        assert seat.is_ready
