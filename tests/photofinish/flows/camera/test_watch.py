"""What runs beside the cell for as long as it does."""

from __future__ import annotations

import asyncio

from photofinish.flows.camera.watch import kept_going
from tests.client.cameras.ingest.watching import until


def test_work_that_fails_is_told_and_begun_again() -> None:
    """The list was not followed any more, or the server not started again, and nothing said so."""
    told, begun = list[str](), list[int]()

    async def work() -> None:
        begun.append(1)
        raise RuntimeError("no room")

    async def main() -> None:
        task = asyncio.ensure_future(kept_going(work, told.append, pause_s=0))
        await until(lambda: len(begun) > 2)
        task.cancel()

    asyncio.run(main())
    assert told[0] == "unexpected: RuntimeError: no room; please report it"
