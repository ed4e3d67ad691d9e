"""What `photofinish cameras run` shows of itself: its endpoint and its page."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass

from photofinish.client.cameras.endpoint.board import SILENT_S, CellBoard
from photofinish.client.cameras.endpoint.server import StatusEndpoint
from photofinish.client.cameras.outputs.output import WaitingEvents
from photofinish.client.cameras.schedule.batches import FrameWriter
from photofinish.client.ui.cameras.serving import CamerasPage
from photofinish.client.ui.cameras.show import CameraShow
from photofinish.client.ui.page.trusted_hosts import TrustedHosts
from photofinish.errors import reason_from_error
from photofinish.flows import tell
from photofinish.machine.addresses import LOOPBACK, is_loopback

PAUSE_S = 5.0
MAX_LINES = 1000
HUNG_S = 60
"""Nothing that a working cell does takes a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchPlan:
    """How a run can be watched. status_port None: the first free one from 7870. Names as in client/ui/page/app.py."""

    status_host: str = LOOPBACK
    status_port: int | None = None
    page: bool = True
    host: str = LOOPBACK
    port: int | None = None
    root_path: str = ""
    trusted_hosts: tuple[str, ...] = ()


async def kept_going(
    work: Callable[[], Awaitable[None]], on_notice: Callable[[str], None], pause_s: float = PAUSE_S
) -> None:
    """Work that never ends, begun again when it fails: nobody waits for it who would notice."""
    while True:
        try:
            await work()
        except Exception as exc:  # told, and the run goes on
            on_notice(f"unexpected: {type(exc).__name__}: {reason_from_error(exc)}; please report it")
        await asyncio.sleep(pause_s)


def lines_told_apart() -> WaitingEvents:
    """Takes lines for stderr and tells them on a thread: a halted terminal, or a pipe that nobody reads, takes none.

    Lines that do not fit are lost: nobody reads them.
    """

    def told(lines: list[str]) -> None:
        for line in lines:
            tell(line)

    return WaitingEvents("stderr", told, limit=MAX_LINES)


def end_hung_cell(
    board: CellBoard,
    over: threading.Event,
    *,
    after_s: int = HUNG_S,
    look_s: float = 1.0,
    leave: Callable[[int], object] = os._exit,
) -> None:
    """Leave the process once the cell has told nothing for so long: whoever started it starts it again, and nobody
    else would. For a thread of its own, which counts its own looks: what is stopped with it does not hang.
    """
    looks = 0
    while not over.wait(look_s):
        looks = looks + 1 if board.silence_s > SILENT_S else 0
        if looks >= after_s:
            text = (
                f"the cell has told nothing for {board.silence_s:.0f} s: it hangs, and ends so that it is started anew"
            )
            telling = threading.Thread(target=tell, args=(text,), daemon=True)
            telling.start()
            telling.join(1.0)  # it may be stderr that hangs
            leave(1)
            return


@asynccontextmanager
async def watched(board: CellBoard, writer: FrameWriter, plan: WatchPlan) -> AsyncIterator[None]:
    """Serve the board's endpoint and the page while the block lasts, and say where. ConfigError: a port is taken."""
    hosts = TrustedHosts((*plan.trusted_hosts, plan.status_host))
    with ExitStack() as stack:
        over = threading.Event()
        stack.callback(over.set)
        threading.Thread(target=end_hung_cell, args=(board, over), name="cell-hangs", daemon=True).start()
        endpoint = StatusEndpoint(board, host=plan.status_host, port=plan.status_port, answers_to=hosts.answers_to)
        stack.enter_context(endpoint)
        tell(f"Status: {endpoint.url} (/status, /metrics, /healthz, /readyz)")
        if not is_loopback(plan.status_host):
            tell(f"Anybody who reaches this machine on port {endpoint.port} can read the cameras' names and figures")
        if not plan.page:
            yield
            return
        show = CameraShow(writer, board)
        stack.enter_context(
            CamerasPage(
                board,
                show.hub,
                host=plan.host,
                port=plan.port,
                root_path=plan.root_path,
                trusted_hosts=plan.trusted_hosts,
                on_ready=tell,
            )
        )
        if not is_loopback(plan.host):
            tell("Anybody who reaches this machine on the page's port sees what the cameras see")
        showing = asyncio.ensure_future(show.run())
        try:
            yield
        finally:
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)
