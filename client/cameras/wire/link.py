"""Values between the processes of a cell, over Unix sockets in a folder that nobody else may enter."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from photofinish.client.cameras.wire.packing import bytes_from_value, value_from_bytes

CHUNK_BYTES = 256 << 10
"""What is handed to the transport at once. What waits behind it waits here: asyncio's own queue of many small values
is added up anew for each that is sent."""
_SIZE = struct.Struct("!I")
Handler = Callable[["Link", Any], None]


def framed(value: object) -> bytes:
    """A value as it goes over a connection."""
    data = bytes_from_value(value)
    return _SIZE.pack(len(data)) + data


def _nothing() -> None:
    """What happens after a read where nobody asks."""


class Link(asyncio.Protocol):
    """One connection. Whole values come and go in order; `send` never waits.

    on_value(link, value) hears of each; on_read() when all that came at once has been handed over; on_lost(link) when
    the other end has gone. None may block.
    """

    def __init__(
        self,
        on_value: Handler,
        on_lost: Callable[[Link], None] = lambda link: None,
        on_read: Callable[[], None] = _nothing,
    ) -> None:
        self._on_value = on_value
        self._on_lost = on_lost
        self._on_read = on_read
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._is_paused = self._is_planned = False

    @property
    def is_open(self) -> bool:
        """Whether the other end is there, as far as is known."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def unsent_bytes(self) -> int:
        """What the other end has not taken yet, but for a chunk or two."""
        return self._waiting_bytes

    def send(self, value: object) -> None:
        """Send a value; nothing happens when the other end has gone. Values of one turn of the loop go together."""
        if self._loop is None or not self.is_open:
            return
        data = bytes_from_value(value)
        self._waiting += (_SIZE.pack(len(data)), data)
        self._waiting_bytes += _SIZE.size + len(data)
        if not self._is_planned and not self._is_paused:
            self._is_planned = True
            self._loop.call_soon(self._flush)

    def second_socket(self) -> socket.socket:
        """The connection once more, for who sends in the place of `send` from now on; that one closes it.

        Raises ConnectionError without an other end, or when that has not taken all that was sent.
        """
        self._flush()
        transport = self._transport
        if transport is None or self._waiting or transport.get_write_buffer_size():
            raise ConnectionError("the other end of a link is not there, or takes nothing")
        made = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
        made.setblocking(False)
        return made

    def close(self) -> None:
        """End the connection at once; what was sent just now is still tried."""
        self._flush()
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The other end is there."""
        if isinstance(transport, asyncio.Transport):
            transport.set_write_buffer_limits(high=CHUNK_BYTES)
            self._transport, self._loop = transport, asyncio.get_running_loop()

    def pause_writing(self) -> None:
        """The other end does not keep up."""
        self._is_paused = True

    def resume_writing(self) -> None:
        """It does again."""
        self._is_paused = False
        self._flush()

    def data_received(self, data: bytes | bytearray) -> None:
        """Hand over what is whole."""
        if self._buffer:
            self._buffer += data
            data = self._buffer
        whole, at, end_of_data = memoryview(data), 0, len(data)
        while end_of_data - at >= _SIZE.size:
            (size,) = _SIZE.unpack_from(data, at)
            end = at + _SIZE.size + size
            if end > end_of_data:
                break
            value = value_from_bytes(whole[at + _SIZE.size : end])
            at = end
            self._on_value(self, value)
        whole.release()
        if data is self._buffer:
            del self._buffer[:at]
        else:
            self._buffer += data[at:]
        self._on_read()

    def connection_lost(self, exc: Exception | None) -> None:
        """The other end has gone."""
        self._transport = None
        self._waiting.clear()
        self._waiting_bytes = 0
        self._on_lost(self)

    def _flush(self) -> None:
        """Hand over what waits, as long as the other end takes it."""
        self._is_planned = False
        while self._waiting and not self._is_paused and self._transport is not None and self.is_open:
            chunk: list[bytes] = []
            size = 0
            while self._waiting and size < CHUNK_BYTES:
                chunk.append(self._waiting.popleft())
                size += len(chunk[-1])
            self._waiting_bytes -= size
            self._transport.write(b"".join(chunk))


async def listen(
    path: Path,
    on_value: Handler,
    on_lost: Callable[[Link], None] = lambda link: None,
    on_read: Callable[[], None] = _nothing,
) -> asyncio.AbstractServer:
    """Take connections at a socket of this name."""
    loop = asyncio.get_running_loop()
    return await loop.create_unix_server(lambda: Link(on_value, on_lost, on_read), str(path))


async def connect(path: Path, on_value: Handler, on_lost: Callable[[Link], None] = lambda link: None) -> Link:
    """A link to who listens there. Raises OSError when nobody does."""
    loop = asyncio.get_running_loop()
    _, link = await loop.create_unix_connection(lambda: Link(on_value, on_lost), str(path))
    return link
