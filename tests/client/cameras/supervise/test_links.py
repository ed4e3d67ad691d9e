from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from photofinish.client.cameras.supervise.links import ProcessLinks
from photofinish.client.cameras.wire.child import OWNER_SOCKET
from photofinish.client.cameras.wire.link import Link, connect
from photofinish.client.cameras.wire.messages import ForgetRegion, FrameWritten, Hello, WriteFrame
from tests.client.cameras.ingest.watching import until


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
        await asyncio.wait_for(there.wait(), 60)
        asked = [links.ask(wish_of("door")), links.ask(wish_of("yard"))]
        found = await asyncio.wait_for(asyncio.gather(*asked), 60)
        assert [written.message for written in found] == ["door", "yard"]
        process.close()
        links.close()

    asyncio.run(main())


def test_memory_of_a_gpu_that_is_closed_is_told_to_the_process_of_that_gpu_alone(tmp_path: Path) -> None:
    """What is open in another process stays on the GPU though its owner has freed it."""
    heard: dict[int, list[Any]] = {number: [] for number in (0, 1, 2)}

    async def main() -> None:
        links = ProcessLinks(tmp_path, lambda value: None, lambda kind, number, is_there: None)
        await links.open({}, {1: 0, 2: 5})
        for number, values in heard.items():
            process = await connect(tmp_path / OWNER_SOCKET, lambda link, value, to=values: to.append(value))
            process.send(Hello(kind="decode", number=number, pid=1))
        await until(lambda: all(links.is_there("decode", number) for number in heard))
        links.forget_region("cuda/5/1/name/00", 5)
        await until(lambda: bool(heard[2]))
        links.close()

    asyncio.run(main())
    assert heard == {0: [], 1: [], 2: [ForgetRegion(region="cuda/5/1/name/00")]}
