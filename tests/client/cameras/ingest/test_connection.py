"""What a connection does with a camera that asks for the password again, and with one that sends without an end."""

from __future__ import annotations

import asyncio
import time

from photofinish.client.cameras.ingest.connection import RtspConnection
from photofinish.client.cameras.rtsp.messages import interleaved_bytes, message_bytes
from tests.client.cameras.ingest.watching import until


class _Wire(asyncio.Transport):
    """What is written, and whether anything is read."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_paused = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False


def _challenge(sequence: int, nonce: str) -> bytes:
    asked = {"CSeq": str(sequence), "WWW-Authenticate": f'Digest realm="r", nonce="{nonce}", stale=true'}
    return message_bytes("RTSP/1.0 401 Unauthorized", asked)


def test_a_sign_of_life_is_sent_again_by_a_new_challenge() -> None:
    """A camera whose challenges hold for a while ended the session again and again."""

    async def main() -> None:
        wire, connection = _Wire(), RtspConnection(lambda channel, data: None, lambda line: None)
        connection.connection_made(wire)
        asked = asyncio.ensure_future(connection.request("DESCRIBE", "rtsp://cam/x", user="viewer", password="pw"))
        await until(lambda: b"CSeq: 1\r" in wire.written)
        connection.data_received(_challenge(1, "old"))
        await until(lambda: b"CSeq: 2\r" in wire.written)
        connection.data_received(message_bytes("RTSP/1.0 200 OK", {"CSeq": "2"}))
        assert (await asked).status == 200
        connection.notify("GET_PARAMETER", "rtsp://cam/x")
        wire.written = b""
        connection.data_received(_challenge(3, "new"))
        assert wire.written.startswith(b"GET_PARAMETER rtsp://cam/x")
        assert b'nonce="new"' in wire.written
        wire.written = b""
        connection.data_received(_challenge(4, "newer"))
        assert wire.written == b""  # it refuses us: no round without an end

    asyncio.run(main())


def test_a_camera_whose_bytes_take_long_is_read_more_slowly() -> None:
    async def main() -> None:
        def work(channel: int, data: bytes) -> None:
            end_s = time.thread_time() + 0.01
            while time.thread_time() < end_s:
                pass

        wire, connection = _Wire(), RtspConnection(work, lambda line: None)
        connection.connection_made(wire)
        connection.data_received(interleaved_bytes(0, b"x"))
        assert wire.is_paused
        await until(lambda: not wire.is_paused)

    asyncio.run(main())
