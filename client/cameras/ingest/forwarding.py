"""Coded pictures to the decode process that a camera belongs to, with the last group of pictures kept for a new one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from photofinish.client.cameras.values.access_unit import AccessUnit
from photofinish.client.cameras.wire.link import Link, connect
from photofinish.client.cameras.wire.messages import ForgetCamera, OpenStream

RETRY_S = 0.2
MAX_KEPT_BYTES = 8 << 20
MAX_KEPT_UNITS = 2000
"""A still scene between seldom keyframes is tens of thousands of tiny pictures."""
MAX_UNSENT_BYTES = 64 << 20
"""A decoder that is so far behind gets nothing more until the camera's next keyframe."""


@dataclass(slots=True)
class _Kept:
    """What a decoder needs to begin in the middle of a stream."""

    opened: OpenStream
    units: list[AccessUnit] = field(default_factory=list)
    size: int = 0
    is_waiting: bool = False


class DecoderLink:
    """The way to one decode process. It may end and come back; its cameras' last keyframes are then sent again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._cameras: dict[str, _Kept] = {}
        self._link: Link | None = None
        self._task = asyncio.ensure_future(self._stay_connected())

    def open_stream(self, opened: OpenStream) -> None:
        """A camera plays; what was kept of its last connection is of no use."""
        self._cameras[opened.camera] = _Kept(opened)
        if self._link is not None:
            self._link.send(opened)

    def send(self, unit: AccessUnit) -> None:
        """Hand a picture over and keep it until the next keyframe."""
        kept = self._cameras.get(unit.camera)
        if kept is None:
            return
        if unit.is_keyframe:
            kept.units, kept.size, kept.is_waiting = [], 0, False
        if unit.is_keyframe or kept.units:
            kept.units.append(unit)
            kept.size += len(unit.data)
            if kept.size > MAX_KEPT_BYTES or len(kept.units) > MAX_KEPT_UNITS:  # a group of pictures that does not end
                kept.units, kept.size = [], 0
        link = self._link
        if link is None:
            return
        if link.unsent_bytes > MAX_UNSENT_BYTES:
            kept.is_waiting = True
        if not kept.is_waiting:
            link.send(unit)

    def hand_over(self, camera: str, other: DecoderLink) -> None:
        """Have another decoder decode a camera from now on; it gets what was kept, and begins in the middle."""
        kept = self._cameras.pop(camera, None)
        if kept is None:
            return
        if self._link is not None:
            self._link.send(ForgetCamera(camera=camera))
        other.take(kept)

    def take(self, kept: _Kept) -> None:
        """What another link kept of a camera."""
        self._cameras[kept.opened.camera] = kept
        kept.is_waiting = False
        if self._link is not None:
            _send_kept(self._link, kept)

    def forget(self, camera: str) -> None:
        """Have nothing to do with a camera any more."""
        if self._cameras.pop(camera, None) is not None and self._link is not None:
            self._link.send(ForgetCamera(camera=camera))

    def close(self) -> None:
        """End the connection."""
        self._task.cancel()
        if self._link is not None:
            self._link.close()

    async def _stay_connected(self) -> None:
        lost = asyncio.Event()
        while True:
            try:
                link = await connect(self._path, lambda link, value: None, lambda link: lost.set())
            except OSError:
                await asyncio.sleep(RETRY_S)
                continue
            for kept in self._cameras.values():
                _send_kept(link, kept)
            self._link = link
            await lost.wait()
            self._link = None
            lost.clear()


def _send_kept(link: Link, kept: _Kept) -> None:
    link.send(kept.opened)
    for unit in kept.units:
        link.send(unit)
