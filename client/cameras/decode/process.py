"""A decode process on the CPU: its cameras' units in, the newest picture of each held until the owner wants it.

Run as `python -m photofinish.client.cameras.decode.process FOLDER NUMBER` by the owner of a cell.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from photofinish.client.cameras.decode.camera import DecodedCamera
from photofinish.client.cameras.decode.codec import CpuDecoder, CpuPicture
from photofinish.client.cameras.decode.writing import RegionMaps, write_held_frame
from photofinish.client.cameras.values.access_unit import AccessUnit
from photofinish.client.cameras.wire.child import decoder_socket, greet_owner, run_child
from photofinish.client.cameras.wire.link import Link, listen
from photofinish.client.cameras.wire.messages import DecodeCamera, ForgetCamera, OpenStream, WriteFrame
from photofinish.client.native.library import native_client
from photofinish.client.triton.session import ignore_notice

REPORT_EVERY_S = 1.0
MAX_EARLY = 4096
"""Streams that ingest opens before the owner has said what is wanted of their camera."""


class DecodeProcess:
    """One loop: sockets, and between them one unit at a time, each camera in turn."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._owner: Link | None = None
        self._cameras: dict[str, DecodedCamera[CpuPicture]] = {}
        self._opened: dict[str, OpenStream] = {}
        self._turns: dict[str, None] = {}
        self._maps = RegionMaps()
        self._resize = native_client(ignore_notice).resize
        self._is_planned = False

    async def run(self, number: int) -> None:
        """Work until the owner ends."""
        path = self._folder / decoder_socket(number)
        path.unlink(missing_ok=True)
        self._owner = await greet_owner(self._folder, "decode", number, self.on_owner)
        server = await listen(path, self.on_ingest, lambda link: None)
        async with server:
            while True:
                await asyncio.sleep(REPORT_EVERY_S)
                self._owner.send(tuple(camera.report() for camera in self._cameras.values()))

    def on_owner(self, link: Link, value: Any) -> None:
        """What the owner wants."""
        if isinstance(value, WriteFrame):
            link.send(write_held_frame(self._cameras.get(value.camera), value, self._maps, self._resize))
        elif isinstance(value, DecodeCamera):
            camera = self._cameras.get(value.camera)
            if camera is not None:
                camera.change(value)
                return
            self._cameras[value.camera] = camera = DecodedCamera(value, CpuDecoder)
            if (opened := self._opened.get(value.camera)) is not None:
                camera.open_stream(opened)
        elif isinstance(value, ForgetCamera):
            self._cameras.pop(value.camera, None)
            self._turns.pop(value.camera, None)

    def on_ingest(self, link: Link, value: Any) -> None:
        """What the cameras send."""
        if isinstance(value, AccessUnit):
            camera = self._cameras.get(value.camera)
            if camera is not None:
                camera.push(value)
                self._turns.setdefault(value.camera)
                self._plan()
        elif isinstance(value, OpenStream):
            if len(self._opened) < MAX_EARLY:
                self._opened[value.camera] = value
            camera = self._cameras.get(value.camera)
            if camera is not None:
                camera.open_stream(value)
        elif isinstance(value, ForgetCamera):
            self._opened.pop(value.camera, None)

    def _plan(self) -> None:
        if not self._is_planned:
            self._is_planned = True
            asyncio.get_running_loop().call_soon(self._work)

    def _work(self) -> None:
        """Decode one unit of the camera whose turn it is; sockets have theirs before the next one."""
        self._is_planned = False
        if not self._turns:
            return
        name = next(iter(self._turns))
        del self._turns[name]
        camera = self._cameras.get(name)
        if camera is not None and camera.has_work:
            before = camera.state
            told = camera.step()
            if self._owner is not None:
                if camera.state != before:
                    self._owner.send((camera.report(),))
                if told is not None:
                    self._owner.send(told)
            if camera.has_work:
                self._turns[name] = None
        if self._turns:
            self._plan()


async def _main(folder: Path, number: int) -> None:
    await DecodeProcess(folder).run(number)


if __name__ == "__main__":
    run_child(_main)
