"""What runs beside the cell for as long as it does."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading

import pytest

from photofinish.client.cameras.endpoint.board import SILENT_S, CellBoard
from photofinish.flows.camera.watch import end_hung_cell, kept_going, lines_told_apart
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


def test_a_cell_that_hangs_ends_the_process_and_one_that_tells_its_status_does_not() -> None:
    clock, over, left = [0.0], threading.Event(), list[int]()
    board = CellBoard(lambda: clock[0])
    watching = threading.Thread(
        target=end_hung_cell, args=(board, over), kwargs={"after_s": 3, "look_s": 0.01, "leave": left.append}
    )
    watching.start()
    clock[0] = SILENT_S - 1
    assert not over.wait(0.1)
    assert not left
    clock[0] = SILENT_S + 1
    watching.join(20)
    assert left == [1]


def test_a_pipe_that_nobody_reads_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose lines went to a pager that waited stood still after an hour, with all its cameras."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as pipe:
        monkeypatch.setattr(sys, "stderr", pipe)
        lines = lines_told_apart()
        assert any(not lines.put("x" * 10_000) for _ in range(2000))
        assert not lines.close(0.1)
        os.close(reading)
        monkeypatch.undo()
        with contextlib.suppress(BrokenPipeError):
            pipe.close()
