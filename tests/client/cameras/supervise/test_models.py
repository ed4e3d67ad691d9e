"""Which service serves which camera, and what a camera that comes is told of its server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from photofinish.client.cameras.schedule.seat import CameraSeat
from photofinish.client.cameras.supervise.model_service import ModelService, ServerAddress
from photofinish.client.cameras.supervise.models import CellModels
from photofinish.client.cameras.values.camera import Camera
from photofinish.client.cameras.values.outcome import DueFrame
from photofinish.client.cameras.wire.messages import FrameWritten, WriteFrame
from tests.client.cameras.ingest.watching import until
from tests.client.fake_triton import FakeTriton


class NoPictures:
    """A FrameWriter of decoders that hold nothing."""

    def ask(self, wish: WriteFrame) -> asyncio.Future[FrameWritten]:
        future: asyncio.Future[FrameWritten] = asyncio.get_running_loop().create_future()
        future.set_result(FrameWritten(request=wish.request, camera=wish.camera, frame=None))
        return future

    def writes_on_gpu(self, camera: str, gpu: int) -> bool:
        return False

    def forget_region(self, region: str, gpu: int) -> None:
        raise AssertionError("there is no such memory here")


def test_a_camera_is_served_from_the_moment_at_which_its_server_answers() -> None:
    """What waits for a server that is not there is no overload of this machine."""
    seats = [CameraSeat(Camera(name="door", url="rtsp://cam"), 0)]
    notices: list[str] = []

    async def main() -> None:
        with FakeTriton() as triton:
            address = ServerAddress(grpc_url=triton.url)
        models = CellModels(
            [address],
            "",
            seats=lambda: seats,
            writer=NoPictures(),
            on_inferred=lambda result: None,
            on_notice=notices.append,
        )
        models.require(seats[0].camera)
        assert not models.is_served(seats[0].camera)
        models.start()
        await until(lambda: bool(notices))
        assert not models.is_served(seats[0].camera)
        assert not seats[0].is_served
        assert models.message
        with FakeTriton() as triton:
            models.move_to(ServerAddress(grpc_url=triton.url))
            await until(lambda: models.is_served(seats[0].camera))
            assert seats[0].is_served
            assert models.names.startswith("toy")
            assert models.message == ""
            await models.stop()

    asyncio.run(main())


def test_a_service_that_breaks_is_told_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seats = [CameraSeat(Camera(name="door", url="rtsp://cam"), 0)]
    served = ModelService._serve
    faults = [OSError(24, "Too many open files")]
    messages: list[str] = []

    async def serve(self: ModelService, session: Any, card: Any) -> None:
        if faults:
            raise faults.pop()
        await served(self, session, card)

    monkeypatch.setattr(ModelService, "_serve", serve)

    async def main() -> None:
        with FakeTriton() as triton:
            models = CellModels(
                [ServerAddress(grpc_url=triton.url)],
                "",
                seats=lambda: seats,
                writer=NoPictures(),
                on_inferred=lambda result: None,
                on_notice=messages.append,
            )
            models.require(seats[0].camera)
            models.start()
            await until(lambda: "Too many open files" in models.message or any("Too many" in m for m in messages))
            await until(lambda: models.is_served(seats[0].camera) and models.message == "")
            await models.stop()

    asyncio.run(main())
    assert not faults


def test_of_many_cameras_those_with_a_picture_are_looked_at_and_only_by_their_own_server() -> None:
    """A request for each of hundreds of cameras would look at all of them, of all GPUs, each time."""
    seats = [CameraSeat(Camera(name=f"cam-{number}", url="rtsp://cam"), 0) for number in range(400)]
    homes = {seat.camera.name: number % 2 for number, seat in enumerate(seats)}
    models = CellModels(
        [ServerAddress(grpc_url="127.0.0.1:1"), ServerAddress(grpc_url="127.0.0.1:2")],
        "",
        server_of=homes.get,
        seats=lambda: seats,
        writer=NoPictures(),
        on_inferred=lambda result: None,
        on_notice=print,
    )
    for seat in seats[:2]:
        models.require(seat.camera)
    first, second = models._services["", 0], models._services["", 1]
    for seat in seats[:6]:
        at_ns = seat.schedule.time_ns(0)
        seat.take(due_frame(seat.camera.name, at_ns), at_ns)
        models.wake(seat)
    assert [seat.camera.name for seat in first._ready()] == ["cam-0", "cam-2", "cam-4"]
    seats[0].begin_writing()
    seats[2].stop()
    homes["cam-4"] = 1
    models.wake(seats[4])
    assert list(first._ready()) == [], "written, gone, and another server's"
    assert [seat.camera.name for seat in second._ready()] == ["cam-1", "cam-3", "cam-5", "cam-4"]
    seats[0].take(due_frame("cam-0", at_ns + 10**9, sequence=2), at_ns + 10**9)
    models.wake(seats[0])
    assert [seat.is_ready for seat in first._ready()] == [False], "it waits for what is being written"
    seats[0].written(None)
    assert [seat.is_ready for seat in first._ready()] == [True]


def due_frame(camera: str, at_ns: int, sequence: int = 1) -> DueFrame:
    return DueFrame(
        camera=camera,
        sequence=sequence,
        captured_ns=at_ns,
        arrived_ns=at_ns,
        decoded_ns=at_ns,
        clock="arrival",
        size_wh=(64, 64),
    )
