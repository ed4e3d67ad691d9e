"""The life of a process of a cell: it ends with its owner, whatever it is doing, and leaves Ctrl-C to it."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

from photofinish.client.cameras.wire.link import Handler, Link, connect
from photofinish.client.cameras.wire.messages import Hello, ProcessKind

OWNER_SOCKET = "owner.sock"


def decoder_socket(number: int) -> str:
    """The name, in the cell's folder, of the socket at which a decode process takes pictures."""
    return f"decode-{number}.sock"


def run_child(main: Callable[[Path, int], Awaitable[None]]) -> None:
    """Run a process whose arguments are the cell's folder and its number, until its standard input ends.

    The thread that waits for that end leaves at once: a decoder that hangs in a library cannot keep the process.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_owner, name="owner-watch", daemon=True).start()
    _allow_many_files()

    async def run() -> None:
        await main(Path(sys.argv[1]), int(sys.argv[2]))

    asyncio.run(run())


def _allow_many_files() -> None:
    """Each camera has a connection, and the usual limit is 1024 files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def greet_owner(folder: Path, kind: ProcessKind, number: int, on_value: Handler) -> Link:
    """The link to the owner; the process ends when it breaks."""
    link = await connect(folder / OWNER_SOCKET, on_value, lambda lost: os._exit(0))
    link.send(Hello(kind=kind, number=number, pid=os.getpid()))
    return link


def _leave_with_owner() -> None:
    while sys.stdin.buffer.read(1 << 16):
        pass
    os._exit(0)
