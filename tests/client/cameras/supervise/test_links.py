from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from photofinish.client.cameras.supervise.links import ProcessLinks
from photofinish.client.cameras.wire.child import OWNER_SOCKET
from photofinish.client.cameras.wire.link import Link, connect
from photofinish.client.cameras.wire.messages import FrameWritten, Hello, WriteFrame


def wish_of(camera: str) -> WriteFrame:
    return WriteFrame(
        request=0,
        camera=camera,
        region="1/2/3",
        shape=(1, 2, 2, 3),
        datatype="uint8",
        position=0,
        contract="frames",
        input_wh=(2, 2),
    )


def test_two_who_ask_with_the_same_number_each_get_their_answer(tmp_path: Path) -> None:
    """Each model's batches and the page's pictures count their wishes from 0."""

    async def main() -> None:
        there = asyncio.Event()
        links = ProcessLinks(tmp_path, lambda value: None, lambda kind, number, is_there: there.set())
        await links.open({"door": 0, "yard": 0})

        def answer(link: Link, value: Any) -> None:
            link.send(FrameWritten(request=value.request, camera=value.camera, frame=None, message=value.camera))

        process = await connect(tmp_path / OWNER_SOCKET, answer)
        process.send(Hello(kind="decode", number=0, pid=1))
        await asyncio.wait_for(there.wait(), 5)
        asked = [links.ask(wish_of("door")), links.ask(wish_of("yard"))]
        found = await asyncio.wait_for(asyncio.gather(*asked), 5)
        assert [written.message for written in found] == ["door", "yard"]
        process.close()
        links.close()

    asyncio.run(main())
