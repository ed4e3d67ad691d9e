"""Values of many threads to the other end of a link: whoever has one sends it, and the link's loop sleeps on."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import Any

from photofinish.client.cameras.wire.link import CHUNK_BYTES, Link, framed


class Outbox:
    """Sends in the order of `put`, which never waits. From when it is made, nothing else may send by its link.

    To wake a loop for each value takes a call of the system in the thread and three in the loop, and each of them lets
    go of the interpreter and wants it back. What the other end does not take waits here, and the loop sends it later.
    """

    def __init__(self, link: Link, loop: asyncio.AbstractEventLoop) -> None:
        """Raises ConnectionError when the link has no other end, or has something unsent."""
        self._socket = link.second_socket()
        self._loop = loop
        self._values: deque[Any] = deque()
        self._rest = b""
        self._turn = threading.Lock()
        self._is_full = False

    def put(self, value: object) -> None:
        """Send a value, from any thread; nothing happens when the other end has gone."""
        self._values.append(value)
        self._send()

    def close(self) -> None:
        """Send nothing more. In the loop's thread."""
        with self._turn:
            self._loop.remove_writer(self._socket)
            self._socket.close()

    def _send(self) -> None:
        """Send, unless another thread does: that one looks again when it has finished."""
        while (self._values or self._rest) and not self._is_full and self._turn.acquire(blocking=False):
            try:
                self._send_some()
            finally:
                self._turn.release()

    def _send_some(self) -> None:
        parts, size = [self._rest], len(self._rest)
        while self._values and size < CHUNK_BYTES:
            parts.append(framed(self._values.popleft()))
            size += len(parts[-1])
        data = b"".join(parts)
        try:
            self._rest = data[self._socket.send(data) :]
        except BlockingIOError:
            self._rest = data
        except OSError:  # the link hears of it
            self._rest = b""
        if self._rest:
            self._is_full = True
            self._loop.call_soon_threadsafe(self._wait_for_room)

    def _wait_for_room(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.add_writer(self._socket, self._go_on)

    def _go_on(self) -> None:
        self._loop.remove_writer(self._socket)
        self._is_full = False
        self._send()
