"""What is kept of a camera for a decoder that comes back."""

from __future__ import annotations

import asyncio
from pathlib import Path

from photofinish.client.cameras.ingest.forwarding import MAX_KEPT_UNITS, DecoderLink
from photofinish.client.cameras.values.access_unit import AccessUnit, StreamInfo
from photofinish.client.cameras.wire.link import Link, listen
from photofinish.client.cameras.wire.messages import OpenStream
from tests.client.cameras.ingest.watching import until


def test_tiny_pictures_without_a_keyframe_are_not_kept_for_ever(tmp_path: Path) -> None:
    """A still scene sends 50 bytes a picture: 8 MiB of these were some 170,000, and a hundred MiB a camera."""

    async def main() -> None:
        link = DecoderLink(tmp_path / "decode.sock")
        link.open_stream(OpenStream(camera="door", connection=1, info=StreamInfo(codec="h264")))
        for number in range(3 * MAX_KEPT_UNITS):
            link.send(
                AccessUnit(
                    camera="door",
                    connection=1,
                    data=b"x",
                    captured_ns=number,
                    arrived_ns=number,
                    clock="arrival",
                    is_keyframe=number == 0,
                )
            )
        heard: list[object] = []
        server = await listen(tmp_path / "decode.sock", lambda link, value: heard.append(value), _ignore)
        await until(lambda: bool(heard))
        assert len(heard) == 1
        link.close()
        server.close()

    asyncio.run(main())


def _ignore(link: Link) -> None:
    """It has gone."""
