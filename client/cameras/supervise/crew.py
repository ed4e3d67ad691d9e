"""The processes of a cell, and which of them each camera belongs to."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from photofinish.client.cameras.supervise.links import ProcessLinks
from photofinish.client.cameras.supervise.processes import CellProcess
from photofinish.client.cameras.values.camera import Camera
from photofinish.client.cameras.wire.child import decoder_socket
from photofinish.client.cameras.wire.messages import DecodeCamera, ForgetCamera, ProcessKind, WatchCamera


class CellCrew:
    """Starts the processes, gives each camera to the one of each kind that has the fewest, and tells them what to do.

    on_value hears of what processes tell; on_change(kind, cameras, is_there) when one comes or goes, with the names of
    its cameras: it knows nothing of them then. writer: the decode processes, for who wants pictures of the cameras.
    """

    def __init__(
        self,
        counts: Mapping[ProcessKind, int],
        *,
        log_folder: Path,
        on_value: Callable[[Any], None],
        on_change: Callable[[ProcessKind, list[str], bool], None],
        on_notice: Callable[[str], None],
    ) -> None:
        """counts: how many processes of each kind."""
        self._counts = counts
        self._on_change = on_change
        self._places: dict[ProcessKind, dict[str, int]] = {kind: {} for kind in counts}
        self._folder = Path(tempfile.mkdtemp(prefix="photofinish-cell-"))
        self._links = self.writer = ProcessLinks(self._folder, on_value, self._note_process)
        self._processes = [
            CellProcess(kind, number, self._folder, log_folder, on_notice, self._links.silence_s)
            for kind, count in counts.items()
            for number in range(count)
        ]

    async def open(self) -> None:
        """Start the processes, which live in the running loop."""
        await self._links.open(self._places["decode"])
        for process in self._processes:
            process.start()

    async def close(self) -> None:
        """End them all within about a second."""
        self._links.close()
        await asyncio.gather(*(process.stop() for process in self._processes))
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def pids(self) -> dict[str, int]:
        """The id of each process by its name, 0 while it is not there."""
        return {process.name: process.pid or 0 for process in self._processes}

    @property
    def restarts(self) -> dict[str, int]:
        """How often each process was started again, by its name."""
        return {process.name: process.restarts for process in self._processes}

    def place(self, camera: str) -> None:
        """Choose the camera's processes: of each kind the one with the fewest cameras."""
        for kind, places in self._places.items():
            used = Counter(places.values())
            places[camera] = min(range(self._counts[kind]), key=lambda number: used[number])

    def forget(self, camera: str) -> None:
        """Have its processes forget a camera."""
        for kind, places in self._places.items():
            self._links.send(kind, places.pop(camera), ForgetCamera(camera=camera))

    def tell_decoder(self, wish: DecodeCamera) -> None:
        """What is to be decoded of a camera from now on."""
        self._links.send("decode", self._places["decode"][wish.camera], wish)

    def tell_ingest(self, camera: Camera) -> None:
        """Have a camera watched, or watched in a changed way."""
        socket_name = decoder_socket(self._places["decode"][camera.name])
        self._links.send("ingest", self._places["ingest"][camera.name], WatchCamera(camera=camera, decoder=socket_name))

    def _note_process(self, kind: ProcessKind, number: int, is_there: bool) -> None:
        cameras = [camera for camera, place in self._places[kind].items() if place == number]
        self._on_change(kind, cameras, is_there)
