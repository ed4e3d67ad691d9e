from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from photofinish.client.cameras.wire.link import CHUNK_BYTES, Link, connect, framed, listen

FEW_BYTES = 2000
MANY = 20_000


def test_what_the_other_end_does_not_take_waits_in_order_and_is_counted(tmp_path: Path) -> None:
    """A decode process that does not keep up: 20,000 pictures of 2 kB, in chunks that asyncio can add up at once."""

    async def main() -> list[int]:
        came: list[int] = []
        all_came = asyncio.Event()

        def take(link: Link, value: Any) -> None:
            came.append(value[0])
            if len(came) == MANY:
                all_came.set()

        server = await listen(tmp_path / "link.sock", take, lambda link: None)
        link = await connect(tmp_path / "link.sock", lambda link, value: None)
        transport = link._transport
        assert transport is not None
        for number in range(MANY):
            link.send((number, bytes(FEW_BYTES)))
            if number % 100 == 0:
                await asyncio.sleep(0)
        assert transport.get_write_buffer_size() <= 2 * CHUNK_BYTES
        # Nothing was read meanwhile but what fitted into a turn of the loop: the rest is counted.
        assert link.unsent_bytes + transport.get_write_buffer_size() + len(came) * FEW_BYTES > MANY * FEW_BYTES // 2
        await asyncio.wait_for(all_came.wait(), 60)
        assert link.unsent_bytes == 0
        server.close()
        link.close()
        return came

    assert asyncio.run(main()) == list(range(MANY))


def test_what_was_sent_just_before_the_end_arrives(tmp_path: Path) -> None:
    async def main() -> list[Any]:
        came: list[Any] = []
        lost = asyncio.Event()
        server = await listen(tmp_path / "link.sock", lambda link, value: came.append(value), lambda link: lost.set())
        link = await connect(tmp_path / "link.sock", lambda link, value: None)
        link.send("last words")
        link.close()
        await asyncio.wait_for(lost.wait(), 60)
        server.close()
        link.send("nobody hears it")
        assert not link.is_open
        return came

    assert asyncio.run(main()) == ["last words"]


def test_who_asks_hears_when_a_read_is_handed_over_and_values_may_come_in_pieces() -> None:
    heard: list[Any] = []
    link = Link(lambda link, value: heard.append(value), on_read=lambda: heard.append("read"))
    data = b"".join(framed(value) for value in ("one", "two", "three"))
    at = len(framed("one")) + len(framed("two"))
    link.data_received(data[: at + 2])
    assert heard == ["one", "two", "read"]
    link.data_received(data[at + 2 : at + 9])
    assert heard == ["one", "two", "read", "read"]
    link.data_received(data[at + 9 :] + data)
    assert heard[4:] == ["three", "one", "two", "three", "read"]
