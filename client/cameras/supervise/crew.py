"""The processes of a cell, and which of them each camera belongs to."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from photofinish.client.cameras.schedule.placing import DecoderPlacement
from photofinish.client.cameras.supervise.gpus import CPU_ALONE, DecodePlan
from photofinish.client.cameras.supervise.links import ProcessLinks
from photofinish.client.cameras.supervise.processes import CellProcess
from photofinish.client.cameras.values.camera import Camera
from photofinish.client.cameras.wire.child import decoder_socket
from photofinish.client.cameras.wire.messages import (
    DecodeCamera,
    ForgetCamera,
    ProcessKind,
    SendTo,
    TrySessions,
    WatchCamera,
)
from photofinish.machine.scratch import scratch_folder

MAX_ENDS, ENDS_WITHIN_S = 3, 60.0
"""A GPU's decode process that ends so often within so long leaves its cameras to the CPU."""


class CellCrew:
    """Starts the processes, gives each camera to the one of each kind that has the fewest, and tells them what to do.

    on_value hears of what processes tell; on_change(kind, cameras, is_there) when one comes or goes, with the names of
    its cameras: it knows nothing of them then; on_moved(cameras) when they have another decode process now, and are to
    be told of by `move`. placement: which decode process has each camera, and why. writer: the decode processes, for
    who wants pictures of the cameras.
    """

    def __init__(
        self,
        counts: Mapping[ProcessKind, int],
        *,
        log_folder: Path,
        on_value: Callable[[Any], None],
        on_change: Callable[[ProcessKind, list[str], bool], None],
        on_moved: Callable[[list[str]], None] = lambda names: None,
        on_notice: Callable[[str], None],
        decoding: DecodePlan = CPU_ALONE,
    ) -> None:
        """counts: how many processes of each kind; of decode on the CPU, beside those for each GPU of `decoding`."""
        self._counts = counts
        self._on_change = on_change
        self._on_moved = on_moved
        self._on_notice = on_notice
        self.placement = DecoderPlacement(
            counts["decode"],
            len(decoding.devices),
            decoding.choice,
            homes=len(decoding.numbers),
            each=decoding.each,
            strengths=decoding.strengths,
        )
        self._told: dict[str, int] = {}
        self._ends_s: dict[int, list[float]] = {}
        self._places: dict[ProcessKind, dict[str, int]] = {"ingest": {}, "decode": self.placement.numbers}
        self._scratch = ExitStack()
        self._folder = self._scratch.enter_context(scratch_folder())
        self._links = self.writer = ProcessLinks(self._folder, on_value, self._note_process)
        self._processes = [
            CellProcess(kind, number, self._folder, log_folder, on_notice, self._links.silence_s)
            for kind, count in counts.items()
            for number in range(count)
        ]
        on_gpus = [
            (gpu, device)
            for gpu, device in zip(decoding.numbers, decoding.devices, strict=False)  # () where the CPU decodes
            for _ in range(decoding.each)
        ]
        self._gpus = {number: gpu for number, (gpu, _) in enumerate(on_gpus, counts["decode"])}
        for number, (_, device) in enumerate(on_gpus, counts["decode"]):
            ended = partial(self._note_end, number)
            self._processes.append(
                CellProcess("decode", number, self._folder, log_folder, ended, self._links.silence_s, gpu=device)
            )

    async def open(self) -> None:
        """Start the processes, which live in the running loop."""
        await self._links.open(self._places["decode"], self._gpus)
        for process in self._processes:
            process.start()

    async def close(self) -> None:
        """End them all within about a second."""
        self._links.close()
        await asyncio.gather(*(process.stop() for process in self._processes))
        self._scratch.close()

    @property
    def pids(self) -> dict[str, int]:
        """The id of each process by its name, 0 while it is not there."""
        return {process.name: process.pid or 0 for process in self._processes}

    @property
    def restarts(self) -> dict[str, int]:
        """How often each process was started again, by its name."""
        return {process.name: process.restarts for process in self._processes}

    def place(self, camera: Camera) -> list[str]:
        """Choose the camera's processes: the ingest process with the fewest cameras; others that it displaced."""
        used = Counter(self._places["ingest"].values())
        self._places["ingest"][camera.name] = min(range(self._counts["ingest"]), key=lambda number: used[number])
        moved = self.placement.add(camera)
        self._told[camera.name] = self.placement.numbers[camera.name]
        return moved

    def forget(self, camera: str) -> list[str]:
        """Have its processes forget a camera; others that take its place."""
        self._links.send("ingest", self._places["ingest"].pop(camera), ForgetCamera(camera=camera))
        self._links.send("decode", self._told.pop(camera), ForgetCamera(camera=camera))
        return self.placement.remove(camera)

    def move(self, wish: DecodeCamera) -> bool:
        """Bring a camera, and what ingest kept of it, to its decode process of now; whether that is there."""
        before, after = self._told[wish.camera], self.placement.numbers[wish.camera]
        self._links.send("decode", before, ForgetCamera(camera=wish.camera))
        self.tell_decoder(wish)
        self._told[wish.camera] = after
        message = SendTo(camera=wish.camera, decoder=decoder_socket(after))
        self._links.send("ingest", self._places["ingest"][wish.camera], message)
        return self._links.is_there("decode", after)

    def tell_decoder(self, wish: DecodeCamera) -> None:
        """What is to be decoded of a camera from now on."""
        self._links.send("decode", self._places["decode"][wish.camera], wish)

    def try_sessions(self, number: int, count: int) -> None:
        """Have a GPU's decode process find out whether so many sessions more could be open."""
        self._links.send("decode", number, TrySessions(count=count))

    def tell_ingest(self, camera: Camera) -> None:
        """Have a camera watched, or watched in a changed way."""
        socket_name = decoder_socket(self._places["decode"][camera.name])
        self._links.send("ingest", self._places["ingest"][camera.name], WatchCamera(camera=camera, decoder=socket_name))

    def _note_process(self, kind: ProcessKind, number: int, is_there: bool) -> None:
        if kind == "decode" and is_there and (moved := self.placement.restarted(number)):
            self._on_moved(moved)
        cameras = [camera for camera, place in self._places[kind].items() if place == number]
        self._on_change(kind, cameras, is_there)

    def _note_end(self, number: int, text: str) -> None:
        """A GPU's decode process ended by itself."""
        self._on_notice(text)
        now_s = time.monotonic()
        ends = self._ends_s[number] = [at for at in self._ends_s.get(number, []) if now_s - at < ENDS_WITHIN_S] + [
            now_s
        ]
        if len(ends) >= MAX_ENDS:
            reason = f"the GPU's decode process ended {len(ends)} times within a minute"
            if moved := self.placement.give_up(number, reason):
                others = any(map(self.placement.is_on_gpu, moved))
                taker = "the GPU's others decode" if others else "the CPU decodes"
                self._on_notice(f"{reason}; {taker} its cameras until the run begins anew")
                self._on_moved(moved)
