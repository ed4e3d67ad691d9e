"""The owner's ways to its processes, and the pictures that it has asked decoders for."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from photofinish.client.cameras.wire.child import OWNER_SOCKET
from photofinish.client.cameras.wire.link import Link, listen
from photofinish.client.cameras.wire.messages import ForgetRegion, FrameWritten, Hello, ProcessKind, WriteFrame

Place = tuple[ProcessKind, int]


class ProcessLinks:
    """Takes the processes' connections. A FrameWriter.

    on_value(value) hears of all but answers; on_change(kind, number, is_there) when a process comes or goes.
    """

    def __init__(
        self, folder: Path, on_value: Callable[[Any], None], on_change: Callable[[ProcessKind, int, bool], None]
    ) -> None:
        self._folder = folder
        self._on_value = on_value
        self._on_change = on_change
        self._links: dict[Place, Link] = {}
        self._places: dict[Link, Place] = {}
        self._decoder_of: Mapping[str, int] = {}
        self._gpus: Mapping[int, int] = {}
        self._requests = itertools.count()
        self._asked: dict[int, tuple[asyncio.Future[FrameWritten], int, str]] = {}
        self._heard_s: dict[Link, float] = {}
        self._server: asyncio.AbstractServer | None = None

    async def open(self, decoder_of: Mapping[str, int], gpus: Mapping[int, int] | None = None) -> None:
        """Listen. decoder_of: the number of each camera's decode process, as it changes. gpus: of which GPU each is."""
        self._decoder_of, self._gpus = decoder_of, gpus or {}
        self._server = await listen(self._folder / OWNER_SOCKET, self._hear, self._lose)

    def close(self) -> None:
        """End all connections."""
        if self._server is not None:
            self._server.close()
        for link in list(self._places):
            link.close()

    def send(self, kind: ProcessKind, number: int, value: object) -> None:
        """Tell a process, if it is there; when it comes, it is told everything anyway."""
        link = self._links.get((kind, number))
        if link is not None:
            link.send(value)

    def is_there(self, kind: ProcessKind, number: int) -> bool:
        """Whether a process is connected."""
        return (kind, number) in self._links

    def silence_s(self, kind: ProcessKind, number: int) -> float | None:
        """For how long a process that is there has told nothing; None for one that is not there."""
        link = self._links.get((kind, number))
        return None if link is None else time.monotonic() - self._heard_s[link]

    def ask(self, wish: WriteFrame) -> asyncio.Future[FrameWritten]:
        """Have a camera's newest picture written. The wish is numbered here: several ask, and count each for itself."""
        wish = replace(wish, request=next(self._requests))
        future: asyncio.Future[FrameWritten] = asyncio.get_running_loop().create_future()
        number = self._decoder_of.get(wish.camera, -1)
        link = self._links.get(("decode", number))
        if link is None:
            future.set_result(_not_written(wish.request, wish.camera))
        else:
            self._asked[wish.request] = (future, number, wish.camera)
            link.send(wish)
        return future

    def writes_on_gpu(self, camera: str, gpu: int) -> bool:
        """Whether this GPU's decode process has the camera; another GPU's brings its pictures by way of the host."""
        return self._gpus.get(self._decoder_of.get(camera, -1)) == gpu

    def forget_region(self, region: str, gpu: int) -> None:
        """Have this GPU's decode process let go of memory that is closed now."""
        for number in (number for number, place in self._gpus.items() if place == gpu):
            self.send("decode", number, ForgetRegion(region=region))

    def _hear(self, link: Link, value: Any) -> None:
        self._heard_s[link] = time.monotonic()
        if isinstance(value, FrameWritten):
            future, _, _ = self._asked.pop(value.request, (None, 0, ""))
            if future is not None and not future.done():
                future.set_result(value)
        elif isinstance(value, Hello):
            place: Place = (value.kind, value.number)
            self._links[place] = link
            self._places[link] = place
            self._on_change(*place, True)
        else:
            self._on_value(value)

    def _lose(self, link: Link) -> None:
        self._heard_s.pop(link, None)
        place = self._places.pop(link, None)
        if place is None or self._links.get(place) is not link:
            return
        del self._links[place]
        if place[0] == "decode":
            for request, (future, number, camera) in list(self._asked.items()):
                if number == place[1]:
                    del self._asked[request]
                    if not future.done():
                        future.set_result(_not_written(request, camera))
        self._on_change(*place, False)


def _not_written(request: int, camera: str) -> FrameWritten:
    return FrameWritten(request=request, camera=camera, frame=None, message="its decode process has ended")
