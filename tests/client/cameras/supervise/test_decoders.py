"""A camera that its GPU refused is given to it again when it connects anew, and seldom enough."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest

from photofinish.client.cameras.supervise import decoders
from photofinish.client.cameras.supervise.cell import CameraCell
from photofinish.client.cameras.supervise.gpus import DecodePlan
from photofinish.client.cameras.supervise.model_service import ServerAddress
from photofinish.client.cameras.values.camera import Camera
from photofinish.client.cameras.values.status import IngestReport
from photofinish.client.cameras.wire.messages import DecodeReport, Refusal


def test_a_camera_that_its_gpu_refused_goes_back_to_it_with_a_later_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It sent MJPEG, and was set to H.264 since: the row is the same, and the run goes on for months."""
    now = [1000.0]
    monkeypatch.setattr(decoders, "time", SimpleNamespace(monotonic=lambda: now[0]))

    async def main() -> list[str]:
        cell = CameraCell(
            ServerAddress(grpc_url="127.0.0.1:1"),
            decoding=DecodePlan(devices=("stand-in",), numbers=(0,), sentence="a rehearsal"),
            log_folder=tmp_path,
        )
        cell.add(Camera(name="door", url="rtsp://camera/door"))
        ways = []
        for connection, later_s in enumerate((0, 1, 61, 1, 61, 121), 1):
            now[0] += later_s
            cell._hear((IngestReport(camera="door", connections=connection),))
            ways.append(cell.status().cameras[0].decode)
            refusal = Refusal(reason="GPUs decode no mjpeg")
            cell._hear((DecodeReport(camera="door", refusal=refusal),))
            cell._hear((IngestReport(camera="door", connections=connection),))  # one report a second, of the same one
            assert cell.status().cameras[0].decode == "cpu"
        await cell._crew.close()
        return ways

    assert asyncio.run(main()) == ["gpu", "cpu", "gpu", "cpu", "cpu", "gpu"], "a minute, then two"


def test_a_camera_of_the_busier_gpu_goes_to_the_other_one_and_its_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five came as equals, and two of them send four times as much."""
    asked: list[tuple[str, int]] = []

    async def main() -> None:
        cell = CameraCell(
            [ServerAddress(grpc_url="127.0.0.1:1", gpu=0), ServerAddress(grpc_url="127.0.0.1:2", gpu=3)],
            decoding=DecodePlan(devices=("stand-in",) * 2, numbers=(0, 3), sentence="a rehearsal"),
            log_folder=tmp_path,
        )
        sizes = {"a": (1280, 720), "b": (640, 360), "c": (1280, 720), "d": (640, 360), "e": (640, 360)}
        for name in sizes:
            cell.add(Camera(name=name, url=f"rtsp://camera/{name}"))
        cell._hear(tuple(IngestReport(camera=name, connections=1, measured_fps=25.0) for name in sizes))
        cell._hear(tuple(DecodeReport(camera=name, size_wh=size) for name, size in sizes.items()))
        ready = cell._models.is_ready_at

        def is_ready_at(camera: Camera, place: int) -> bool:
            asked.append((camera.name, place))
            assert not ready(camera, place), "nobody listens there"
            return len(asked) > 1

        monkeypatch.setattr(cell._models, "is_ready_at", is_ready_at)
        assert [row.gpu for row in cell.status().cameras] == [0, 3, 0, 3, 0]
        for now_s in (1000.0, 1005.0):
            cell._decoders.settle(now_s)
        assert asked == [("a", 1)], "once in ten seconds"
        assert cell.status().cameras[0].gpu == 0, "where no server answers no camera goes"
        cell._decoders.settle(1011.0)
        assert [row.gpu for row in cell.status().cameras] == [3, 3, 0, 3, 0]
        assert cell._crew.placement.numbers["a"] == 2
        assert [seat.is_served for seat in cell._seats.values()] == [True, False, False, False, False]
        cell._decoders.settle(1021.0)
        assert len(asked) == 2, "five parts here, six there"
        await cell._crew.close()

    asyncio.run(main())
