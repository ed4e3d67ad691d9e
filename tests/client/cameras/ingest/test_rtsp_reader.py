"""Our own reader of RTSP: in which order it tells."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from experiments.cameras.malformed import SpoiltCamera, clip_of_noise
from photofinish.client.cameras.ingest.figures import IngestError
from photofinish.client.cameras.ingest.rtsp_reader import read_rtsp
from photofinish.client.cameras.values.access_unit import StreamInfo
from photofinish.client.cameras.values.camera import Camera


class Order:
    """What a reader told, in its order."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def on_line(self, line: str) -> None:
        pass

    def on_stream(self, info: StreamInfo) -> None:
        self.told.append("stream")

    def on_picture(self, data: bytes, **values: Any) -> None:
        self.told.append("key" if values["is_keyframe"] else "picture")

    def on_transport(self, lost_packets: int, offset_ms: float | None) -> None:
        pass


def test_a_keyframe_that_comes_with_the_answer_to_play_belongs_to_its_stream() -> None:
    """Before its stream was told it went to the connection before it, and a camera was dark for a keyframe interval."""
    order = Order()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        fake = lambda: SpoiltCamera(clip_of_noise("h264"), "rtcp", random.Random(0))  # noqa: E731
        server = await loop.create_server(fake, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(IngestError):
            await asyncio.wait_for(read_rtsp(Camera(name="cam", url=f"rtsp://127.0.0.1:{port}/cam"), order), 60)
        server.close()

    asyncio.run(main())
    assert order.told == ["stream", "key", *["picture"] * 9]
