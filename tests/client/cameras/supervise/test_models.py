"""Which service serves which camera, and what a camera that comes is told of its server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from photofinish.client.cameras.schedule.seat import CameraSeat
from photofinish.client.cameras.supervise.model_service import ModelService, ServerAddress
from photofinish.client.cameras.supervise.models import CellModels
from photofinish.client.cameras.values.camera import Camera
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
