"""A batch whose rows cannot be put together costs its frames, each with its cause, and nothing later."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import pytest

from photofinish.client.cameras.schedule.batches import BatchSender, StagedSlot
from photofinish.client.cameras.schedule.seat import CameraSeat
from photofinish.client.cameras.values.camera import Camera
from photofinish.client.cameras.values.outcome import CameraDropCause, DueFrame, Inferred
from photofinish.client.cameras.wire.messages import FrameWritten, WriteFrame
from photofinish.detections import MAX_ROWS, ROW_WIDTH
from photofinish.errors import ConfigError, InferenceError
from photofinish.letterbox import letterbox_from_image
from tests.builders import build_card

PICTURE = np.zeros((64, 64, 3), np.uint8)


@dataclass
class BrokenSlot:
    """A StagedSlot on a GPU that copies no row."""

    gpu_region: str = "gpu"
    gpu: int = 0
    region: str = "host"
    datatype: str = "uint8"
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

    def forget_region(self, region: str, gpu: int) -> None:
        raise AssertionError("there is no such memory here")


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


class SilentWriter(Writer):
    """Decoders that write nothing yet."""

    def ask(self, wish: WriteFrame) -> asyncio.Future[FrameWritten]:
        return asyncio.get_running_loop().create_future()


@pytest.mark.parametrize("cause", [CameraDropCause.STOPPED, CameraDropCause.SERVER_FAILED])
def test_a_picture_that_is_not_waited_for_is_dropped_for_what_ended_the_waiting(cause: CameraDropCause) -> None:
    seat = CameraSeat(Camera(name="yard", url="rtsp://cam"), 0)
    at_ns = seat.schedule.time_ns(0)
    seat.advance(at_ns)
    seat.take(DueFrame(camera="yard", sequence=1, captured_ns=at_ns, arrived_ns=at_ns, decoded_ns=at_ns,
                       clock="arrival", size_wh=(64, 64)), at_ns)  # fmt: skip
    card = SimpleNamespace(contract="frames", input_wh=(64, 64))
    sender = BatchSender(SimpleNamespace(), card, SilentWriter({}), lambda found: None)  # type: ignore[arg-type]
    sender.cause_at_end = cause

    async def send_for_a_moment() -> None:
        sending = asyncio.ensure_future(sender.send(staged_slot(), [seat]))
        await asyncio.sleep(0)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)

    asyncio.run(send_for_a_moment())
    assert seat.account.count().dropped == {cause: 1}


class Server:
    """A Session whose requests wait for their answers."""

    def __init__(self) -> None:
        self.sent: list[Future[npt.NDArray[np.float32]]] = []

    def submit(self, slot: object, count: int) -> Future[npt.NDArray[np.float32]]:
        self.sent.append(Future())
        return self.sent[-1]


def answer(count: int = 1) -> npt.NDArray[np.float32]:
    return np.zeros((count, MAX_ROWS, ROW_WIDTH), np.float32)


def staged_slot() -> StagedSlot:
    pictures = np.zeros((4, 64, 64, 3), np.uint8)
    return StagedSlot(SimpleNamespace(direct="host", on_device="", input_array=pictures))  # type: ignore[arg-type]


def test_a_camera_of_which_several_pictures_are_under_way_is_told_of_in_their_order() -> None:
    """Tracks that go back in time count a line twice; a camera that sends in bursts has pictures in many batches."""
    seat, frames = CameraSeat(Camera(name="gate", url="rtsp://cam", frames_per_s=5), 0), dict[str, DueFrame]()
    server, told = Server(), list[Inferred]()
    sender = BatchSender(server, build_card(), Writer(frames), told.append)  # type: ignore[arg-type]

    async def begin(number: int) -> asyncio.Task[None]:
        at_ns = seat.schedule.time_ns(number)
        frame = DueFrame(camera="gate", sequence=number, captured_ns=at_ns, arrived_ns=at_ns, decoded_ns=at_ns,
                         clock="arrival", size_wh=(64, 64))  # fmt: skip
        frames["gate"] = frame
        seat.take(frame, at_ns)
        task = asyncio.ensure_future(sender.send(staged_slot(), [seat]))
        while len(server.sent) <= number:
            await asyncio.sleep(0)
        return task

    async def main() -> None:
        lanes = [await begin(number) for number in range(4)]
        server.sent[1].set_result(answer())
        server.sent[3].set_result(answer())
        await asyncio.gather(lanes[1], lanes[3])
        assert told == [], "both wait for the first"
        server.sent[0].set_result(answer())
        await lanes[0]
        assert [result.tick for result in told] == [0, 1]
        server.sent[2].set_exception(InferenceError("it is gone", model="toy", url="here"))
        with pytest.raises(InferenceError):
            await lanes[2]

    asyncio.run(main())
    assert [result.tick for result in told] == [0, 1, 3], "one that failed keeps nobody waiting"
    assert seat.account.count().dropped == {CameraDropCause.SERVER_FAILED: 1}
    assert not seat.account.pending


def test_an_answer_that_cannot_be_read_leaves_no_frame_without_an_outcome() -> None:
    seat, frames = CameraSeat(Camera(name="gate", url="rtsp://cam", frames_per_s=5), 0), dict[str, DueFrame]()
    server = Server()
    sender = BatchSender(server, build_card(head="unheard-of"), Writer(frames), print)  # type: ignore[arg-type]
    at_ns = seat.schedule.time_ns(0)
    frames["gate"] = DueFrame(camera="gate", sequence=1, captured_ns=at_ns, arrived_ns=at_ns, decoded_ns=at_ns,
                              clock="arrival", size_wh=(64, 64))  # fmt: skip
    seat.take(frames["gate"], at_ns)

    async def main() -> None:
        task = asyncio.ensure_future(sender.send(staged_slot(), [seat]))
        while not server.sent:
            await asyncio.sleep(0)
        server.sent[0].set_result(answer())
        with pytest.raises(ConfigError, match="unheard-of"):
            await task

    asyncio.run(main())
    assert not seat.account.pending
    assert seat.account.count().dropped == {CameraDropCause.SERVER_FAILED: 1}
