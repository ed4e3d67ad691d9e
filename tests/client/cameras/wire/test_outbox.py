"""Many threads send by one connection: nobody waits, and what each of them told comes in its order."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from photofinish.client.cameras.wire.link import Link, connect, listen
from photofinish.client.cameras.wire.outbox import Outbox

THREADS, EACH = 8, 500
BIG = bytes(2000)


def test_what_threads_put_comes_in_the_order_of_each_though_the_other_end_reads_late(tmp_path: Path) -> None:
    """8 MB while nobody reads: far more than a socket takes, so most of it waits here, and the loop sends it."""

    async def main() -> list[Any]:
        came: list[Any] = []
        all_came = asyncio.Event()

        def take(link: Link, value: Any) -> None:
            came.append(value[:2])
            if len(came) == THREADS * EACH + 1:
                all_came.set()

        server = await listen(tmp_path / "link.sock", take)
        link = await connect(tmp_path / "link.sock", lambda link, value: None)
        link.send(("hello", 0))
        outbox = Outbox(link, asyncio.get_running_loop())

        def put_all(number: int) -> None:
            for count in range(EACH):
                outbox.put((number, count, BIG))

        threads = [threading.Thread(target=put_all, args=(number,)) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)  # the loop, which reads, stands meanwhile
        assert not any(thread.is_alive() for thread in threads)
        assert len(came) < THREADS * EACH
        await asyncio.wait_for(all_came.wait(), 60)
        outbox.close()
        link.close()
        server.close()
        return came

    came = asyncio.run(main())
    assert came[0] == ("hello", 0)
    for number in range(THREADS):
        assert [count for who, count in came[1:] if who == number] == list(range(EACH))


def test_an_other_end_that_has_gone_hears_nothing_and_one_that_was_never_there_is_said(tmp_path: Path) -> None:
    async def main() -> None:
        lost = asyncio.Event()
        others: list[Link] = []
        server = await listen(tmp_path / "link.sock", lambda link, value: others.append(link))
        link = await connect(tmp_path / "link.sock", lambda link, value: None, lambda link: lost.set())
        outbox = Outbox(link, asyncio.get_running_loop())
        outbox.put("hello")
        while not others:
            await asyncio.sleep(0.001)
        others[0].close()
        await asyncio.wait_for(lost.wait(), 60)
        outbox.put("nobody hears it")
        outbox.close()
        server.close()
        with pytest.raises(ConnectionError):
            Outbox(link, asyncio.get_running_loop())

    asyncio.run(main())
