"""Values between the processes of a cell, over Unix sockets in a folder that nobody else may enter."""

from __future__ import annotations

import asyncio
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

_SIZE = struct.Struct("!I")
Handler = Callable[["Link", Any], None]


class Link(asyncio.Protocol):
    """One connection. Whole values come and go in order; `send` never waits.

    on_value(link, value) hears of each; on_lost(link) when the other end has gone. Both must not block.
    """

    def __init__(self, on_value: Handler, on_lost: Callable[[Link], None] = lambda link: None) -> None:
        self._on_value = on_value
        self._on_lost = on_lost
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    @property
    def is_open(self) -> bool:
        """Whether the other end is there, as far as is known."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def unsent_bytes(self) -> int:
        """What the other end has not taken yet."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def send(self, value: object) -> None:
        """Send a value; nothing happens when the other end has gone."""
        if self._transport is not None and not self._transport.is_closing():
            data = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
            self._transport.write(_SIZE.pack(len(data)) + data)

    def close(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The other end is there."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Hand over what is whole."""
        buffer = self._buffer
        buffer += data
        at = 0
        while len(buffer) - at >= _SIZE.size:
            (size,) = _SIZE.unpack_from(buffer, at)
            end = at + _SIZE.size + size
            if end > len(buffer):
                break
            value = pickle.loads(memoryview(buffer)[at + _SIZE.size : end])
            at = end
            self._on_value(self, value)
        del buffer[:at]

    def connection_lost(self, exc: Exception | None) -> None:
        """The other end has gone."""
        self._transport = None
        self._on_lost(self)


async def listen(path: Path, on_value: Handler, on_lost: Callable[[Link], None]) -> asyncio.AbstractServer:
    """Take connections at a socket of this name."""
    loop = asyncio.get_running_loop()
    return await loop.create_unix_server(lambda: Link(on_value, on_lost), str(path))


async def connect(path: Path, on_value: Handler, on_lost: Callable[[Link], None] = lambda link: None) -> Link:
    """A link to who listens there. Raises OSError when nobody does."""
    loop = asyncio.get_running_loop()
    _, link = await loop.create_unix_connection(lambda: Link(on_value, on_lost), str(path))
    return link
