"""The ingest process: many cameras' connections in one loop, no decoding, no CUDA.

Run as `python -m photofinish.client.cameras.ingest.process FOLDER NUMBER` by the owner of a cell.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from photofinish.client.cameras.ingest.forwarding import DecoderLink
from photofinish.client.cameras.ingest.retry import StartPace
from photofinish.client.cameras.ingest.watch import CameraWatch
from photofinish.client.cameras.values.access_unit import AccessUnit, StreamInfo
from photofinish.client.cameras.values.camera import Camera
from photofinish.client.cameras.values.status import IngestReport
from photofinish.client.cameras.wire.child import greet_owner, run_child
from photofinish.client.cameras.wire.link import Link
from photofinish.client.cameras.wire.messages import ForgetCamera, OpenStream, SendTo, WatchCamera
from photofinish.machine.turns import give_freed_memory_back

REPORT_EVERY_S = 1.0


class IngestProcess:
    """The cameras of this process, and the ways to their decoders."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._owner: Link | None = None
        self._pace = StartPace()
        self._watches: dict[str, CameraWatch] = {}
        self._decoder_of: dict[str, DecoderLink] = {}
        self._decoders: dict[str, DecoderLink] = {}

    async def run(self, number: int) -> None:
        """Work until the owner ends."""
        self._owner = await greet_owner(self._folder, "ingest", number, self.on_value)
        while True:
            await asyncio.sleep(REPORT_EVERY_S)
            self._owner.send(tuple(watch.report() for watch in self._watches.values()))

    def on_value(self, link: Link, value: Any) -> None:
        """What the owner wants."""
        if isinstance(value, WatchCamera):
            self._forget(value.camera.name)
            self._watch(value.camera, value.decoder)
        elif isinstance(value, SendTo):
            if (before := self._decoder_of.get(value.camera)) is not None:
                self._decoder_of[value.camera] = after = self._decoder_at(value.decoder)
                before.hand_over(value.camera, after)
        elif isinstance(value, ForgetCamera):
            self._forget(value.camera)

    def _decoder_at(self, socket_name: str) -> DecoderLink:
        if socket_name not in self._decoders:
            self._decoders[socket_name] = DecoderLink(self._folder / socket_name)
        return self._decoders[socket_name]

    def _watch(self, camera: Camera, socket_name: str) -> None:
        self._decoder_of[camera.name] = self._decoder_at(socket_name)

        def opened(connection: int, info: StreamInfo) -> None:
            if (decoder := self._decoder_of.get(camera.name)) is not None:
                decoder.open_stream(OpenStream(camera=camera.name, connection=connection, info=info))

        def came(unit: AccessUnit) -> None:
            if (decoder := self._decoder_of.get(camera.name)) is not None:
                decoder.send(unit)

        self._watches[camera.name] = CameraWatch(
            camera, pace=self._pace, on_open=opened, on_unit=came, on_report=self._tell
        )

    def _forget(self, name: str) -> None:
        watch = self._watches.pop(name, None)
        if watch is not None:
            watch.stop()
            self._decoder_of.pop(name).forget(name)

    def _tell(self, report: IngestReport) -> None:
        if self._owner is not None:
            self._owner.send((report,))


async def _main(folder: Path, number: int) -> None:
    give_freed_memory_back()  # what piles up while a decoder is behind would stay
    await IngestProcess(folder).run(number)


if __name__ == "__main__":
    run_child(_main)
