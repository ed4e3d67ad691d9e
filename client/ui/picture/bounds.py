"""What a page takes from a stranger's browser: how many bytes and pixels, and how many at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import numpy.typing as npt
from starlette.requests import ClientDisconnect, Request

from photofinish.client.ui.picture.header import scan_count, size_from_header
from photofinish.client.ui.words import WordedError
from photofinish.errors import SourceError
from photofinish.pictures import image_from_bytes

MAX_PICTURE_BYTES = 20_000_000
MAX_PIXELS = 50_000_000
"""The largest photo of a telephone; decoded it takes 150 MB."""
MAX_SCANS = 64
"""Passes of a progressive JPEG; an honest one has some ten, and each decodes the whole picture once more."""
CHUNK_WAIT_S = 15.0
"""How long a sender may pause."""
LEAST_BYTES_PER_S, LEAST_BODY_S = 250_000, 60.0
"""A body has the time that its bound takes at this rate, at least so long: a byte now and then holds no place."""


class RefusedError(Exception):
    """An upload that is not taken. status: of HTTP; word: the path of what the page says, with values for it."""

    def __init__(self, status: int, word: str, **values: str | int) -> None:
        super().__init__(word)
        self.status = status
        self.word = word
        self.values = values


def refused_for_now(exc: WordedError) -> RefusedError:
    """The refusal of what can be asked for again later."""
    return RefusedError(503, exc.word, **exc.values)


async def bounded_chunks(request: Request, max_bytes: int, *, wait_s: float = CHUNK_WAIT_S) -> AsyncIterator[bytes]:
    """The body of a request, piece by piece. RefusedError as soon as it is known to be too large or stands still."""
    limit_mb = max_bytes // 1_000_000
    announced = request.headers.get("content-length", "0")
    if not announced.isdigit() or int(announced) > max_bytes:
        raise RefusedError(413, "picture.problem.too_large", limit=limit_mb)
    count, clock = 0, asyncio.get_running_loop().time
    until_s = clock() + max(max_bytes / LEAST_BYTES_PER_S, LEAST_BODY_S)
    pieces = request.stream().__aiter__()
    while True:
        try:
            piece = await asyncio.wait_for(pieces.__anext__(), min(wait_s, max(until_s - clock(), 0)))
        except StopAsyncIteration:
            return
        except (asyncio.TimeoutError, ClientDisconnect) as exc:
            raise RefusedError(408, "picture.problem.too_slow") from exc
        count += len(piece)
        if count > max_bytes:
            raise RefusedError(413, "picture.problem.too_large", limit=limit_mb)
        yield piece


async def bounded_body(request: Request, max_bytes: int = MAX_PICTURE_BYTES) -> bytes:
    """The whole body of a request, of `max_bytes` at most."""
    return b"".join([piece async for piece in bounded_chunks(request, max_bytes)])


def picture_from_upload(content: bytes) -> npt.NDArray[np.uint8]:
    """The picture (height, width, 3) uint8, blue first. RefusedError before anything is decoded that is too large."""
    size_wh = size_from_header(content)
    if size_wh is None:
        raise RefusedError(415, "picture.problem.no_picture")
    if size_wh[0] * size_wh[1] > MAX_PIXELS or scan_count(content) > MAX_SCANS:
        raise RefusedError(413, "picture.problem.too_many_pixels", limit=MAX_PIXELS // 1_000_000)
    try:
        return image_from_bytes(content, "the picture")
    except SourceError as exc:
        raise RefusedError(415, "picture.problem.damaged") from exc


class Queue:
    """Lets so many in at once, so many more wait, and sends the others away. Used from one event loop."""

    def __init__(self, *, inside: int, waiting: int, wait_s: float) -> None:
        """wait_s: after so long a waiting one is sent away, too."""
        self._room = asyncio.Semaphore(inside)
        self._here = 0
        self._most = inside + waiting
        self._wait_s = wait_s

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place for the length of the block. RefusedError where too many are here, or none came free in time."""
        if self._here >= self._most:
            raise RefusedError(503, "picture.problem.busy")
        self._here += 1
        try:
            try:
                await asyncio.wait_for(self._room.acquire(), self._wait_s)
            except asyncio.TimeoutError as exc:
                raise RefusedError(503, "picture.problem.busy") from exc
            try:
                yield
            finally:
                self._room.release()
        finally:
            self._here -= 1
