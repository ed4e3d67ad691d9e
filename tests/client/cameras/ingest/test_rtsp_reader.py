"""Our own reader of RTSP: in which order it tells."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import Any

import pytest

from experiments.cameras.malformed import SpoiltCamera, clip_of_noise
from photofinish.client.cameras.ingest.figures import IngestError
from photofinish.client.cameras.ingest.rtsp_reader import read_rtsp
from photofinish.client.cameras.values.access_unit import StreamInfo
from photofinish.client.cameras.values.camera import Camera, StreamTransport
from tests.client.cameras.ingest.watching import Watched


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


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize(("host", "is_told"), [("127.0.0.1", True), ("127.0.0.2", False)])
def test_a_camera_that_sends_us_to_another_host_gives_it_no_password(
    host: str, is_told: bool, transport: StreamTransport
) -> None:
    """FFmpeg, which reads UDP, tells it wherever it is sent.

    Whoever stands at an address could have all passwords by one answer: go there, and log in the plain way.
    """

    async def main() -> tuple[str, str]:
        heard: list[str] = []

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, first: str) -> None:
            while head := await reader.readuntil(b"\r\n\r\n"):
                heard.append(head.decode())
                sequence = head.partition(b"CSeq: ")[2].partition(b"\r")[0].decode()
                writer.write(f"RTSP/1.0 {first}\r\nCSeq: {sequence}\r\n\r\n".encode())

        async def serve(host: str, first: str) -> asyncio.Server:
            async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                    await answer(reader, writer, first)
                writer.close()

            return await asyncio.start_server(connected, host, 0)

        other = await serve(host, '401 No\r\nWWW-Authenticate: Basic realm="x"')
        there = f"rtsp://{host}:{other.sockets[0].getsockname()[1]}/x"
        camera = await serve("127.0.0.1", f"302 There\r\nLocation: {there}")
        url = f"rtsp://127.0.0.1:{camera.sockets[0].getsockname()[1]}/x"
        watched = Watched(Camera(name="cam", url=url, user="u", password="pw", transport=transport))
        failure = await watched.waiting()
        watched.watch.stop()
        for server in (other, camera):
            server.close()
        return "".join(heard), failure.message

    heard, said = asyncio.run(main())
    assert ("Authorization" in heard) is is_told
    assert said.startswith(
        "the camera refuses the user" if is_told else "the camera sends us to 127.0.0.2, which wants"
    )
