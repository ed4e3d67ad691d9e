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
