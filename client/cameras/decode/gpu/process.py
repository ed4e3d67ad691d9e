"""The decode process of one GPU: its cameras' units in, pictures on the GPU, the newest of each held until wanted.

Run as `python -m photofinish.client.cameras.decode.gpu.process FOLDER NUMBER DEVICE` by the owner of a cell. DEVICE is
the GPU's number, or `stand-in` for a rehearsal on the CPU. It speaks the messages of a decode process on the CPU.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from photofinish.client.cameras.decode.gpu.device import GpuDevice
from photofinish.client.cameras.decode.gpu.opening import Openable, SessionOpener, SessionTrial
from photofinish.client.cameras.decode.gpu.worker import GpuWorker
from photofinish.client.cameras.values.access_unit import AccessUnit
from photofinish.client.cameras.wire.child import decoder_socket, greet_owner, run_child
from photofinish.client.cameras.wire.link import Link, listen
from photofinish.client.cameras.wire.messages import (
    DecodeCamera,
    ForgetCamera,
    ForgetRegion,
    FrameWritten,
    OpenStream,
    SessionsTried,
    TrySessions,
    WriteFrame,
)
from photofinish.client.cameras.wire.outbox import Outbox
from photofinish.errors import ConfigError

REPORT_EVERY_S = 1.0
JOIN_S = 2.0
STUCK_S = 15.0
"""A thread that answers nothing for so long hangs in the driver, and the process begins anew."""
MAX_EARLY = 4096
"""Streams that ingest opens before the owner has said what is wanted of their camera."""
THREADS = 16
"""Each waits for one picture at a time, 1.2 ms at 1280 x 720 on a busy H200: eight were too few there, and with more
than 32 they wait for each other (docs/decisions.md)."""
THREADS_VARIABLE = "PHOTOFINISH_DECODE_THREADS"
"""Environment variable: another number of threads for each decode process of a GPU."""
MAX_THREADS = 512
UNKNOWN = "no picture is held"
STAND_IN = "stand-in"
SESSION_LIMIT = "PHOTOFINISH_STAND_IN_SESSIONS"
"""Environment variable: how many sessions a stand-in opens, or a file that says so, which may change."""
_log = logging.getLogger(__name__)


class GpuDecodeProcess:
    """The sockets, in one loop; each value goes to the thread that has its camera."""

    def __init__(self, folder: Path, device: GpuDevice, threads: int = THREADS) -> None:
        self._folder = folder
        self._outbox: Outbox | None = None
        self._opened: dict[str, OpenStream] = {}
        self._places: dict[str, int] = {}
        self._came: dict[int, list[Any]] = {}
        """What came with this read of ingest's socket, by worker: each of these wakes once."""
        self._opener = SessionOpener(device, self._session_done, self._crash)
        self._number = 0
        self._threads = threads
        self._workers = [
            GpuWorker(number, device, self._opener, self._tell, self._crash, is_pool=number == threads)
            for number in range(threads + 1)
        ]

    async def run(self, number: int) -> None:
        """Work until the owner ends."""
        self._number = number
        path = self._folder / decoder_socket(number)
        path.unlink(missing_ok=True)
        for worker in self._workers:
            worker.start()
        link = await greet_owner(self._folder, "decode", number, self.on_owner)
        self._outbox = Outbox(link, asyncio.get_running_loop())
        server = await listen(path, self.on_ingest, on_read=self.hand_over)
        try:
            async with server:
                while True:
                    await asyncio.sleep(REPORT_EVERY_S)
                    for worker in self._workers:
                        worker.ask_for_reports()
                    self._require_progress()
        finally:
            self._opener.close()
            for worker in self._workers:
                worker.post(None)
            for worker in self._workers:
                worker.join(JOIN_S)
            self._outbox.close()

    def on_owner(self, link: Link, value: Any) -> None:
        """What the owner wants."""
        if isinstance(value, WriteFrame):
            place = self._places.get(value.camera)
            if place is None:
                self._tell(FrameWritten(request=value.request, camera=value.camera, frame=None, message=UNKNOWN))
            else:
                self._workers[place].post(value)
        elif isinstance(value, DecodeCamera):
            if (value.pool_sessions > 0) != (self._places.get(value.camera) == self._threads):
                self._forget(value.camera)
            is_new = value.camera not in self._places
            if is_new:
                self._places[value.camera] = self._place_for(value)
            self._post(value.camera, value)
            if is_new and (opened := self._opened.get(value.camera)) is not None:
                self._post(value.camera, opened)
        elif isinstance(value, ForgetCamera):
            self._forget(value.camera)
        elif isinstance(value, ForgetRegion):
            for worker in self._workers:
                worker.post(value)
        elif isinstance(value, TrySessions):
            self._opener.try_more(SessionTrial(value.count, self._tried))

    def on_ingest(self, link: Link, value: Any) -> None:
        """What the cameras send."""
        if isinstance(value, AccessUnit):
            self._add(value.camera, value)
        elif isinstance(value, OpenStream):
            if len(self._opened) < MAX_EARLY:
                self._opened[value.camera] = value
            self._add(value.camera, value)
        elif isinstance(value, ForgetCamera):
            self._opened.pop(value.camera, None)

    def hand_over(self) -> None:
        """Wake the workers whose cameras' pictures came."""
        came = self._came
        if came:
            self._came = {}
            for place, values in came.items():
                self._workers[place].post(values)

    def _place_for(self, wish: DecodeCamera) -> int:
        """The worker with the fewest cameras; the last one has those that share sessions."""
        used = Counter(self._places.values())
        return self._threads if wish.pool_sessions else min(range(self._threads), key=lambda place: used[place])

    def _forget(self, camera: str) -> None:
        self._post(camera, ForgetCamera(camera=camera))
        self._places.pop(camera, None)

    def _tried(self, opened: int) -> None:
        self._tell(SessionsTried(number=self._number, opened=opened))

    def _add(self, camera: str, value: Any) -> None:
        place = self._places.get(camera)
        if place is not None:
            self._came.setdefault(place, []).append(value)

    def _post(self, camera: str, value: Any) -> None:
        place = self._places.get(camera)
        if place is not None:
            self._workers[place].post(value)

    def _session_done(self, decoder: Openable) -> None:
        for worker in self._workers:
            worker.post(decoder)

    def _tell(self, value: Any) -> None:
        if self._outbox is not None:
            self._outbox.put(value)

    def _require_progress(self) -> None:
        """A thread that hangs in the driver never comes back, and the others would hide it from the owner."""
        stuck_s = max(self._opener.busy_s, REPORT_EVERY_S * max(worker.unanswered for worker in self._workers))
        if stuck_s > STUCK_S:
            self._crash(TimeoutError(f"a thread has answered nothing for {stuck_s:.0f} s"))

    def _crash(self, exc: BaseException) -> None:
        """A thread failed by mistake: the owner starts the process again, and ingest has the last keyframes."""
        _log.critical("a thread of the decode process failed", exc_info=exc)
        os._exit(1)


def device_from_name(name: str) -> GpuDevice:
    """The GPU of this number, or the stand-in. Raises ConfigError, SourceError when there is none."""
    if name == STAND_IN:
        from photofinish.client.cameras.decode.gpu.stand_in import StandIn

        limit = os.environ.get(SESSION_LIMIT, "")
        if limit.isdigit() or not limit:
            return StandIn(session_limit=int(limit) if limit else None)
        return StandIn(session_limit=lambda: int(Path(limit).read_text()))
    from photofinish.client.cameras.decode.gpu.nvdec import NvdecDevice

    return NvdecDevice(int(name))


def threads_wanted(environment: Mapping[str, str] = os.environ) -> int:
    """As the environment says, else THREADS. Raises ConfigError for what is no number from 1 to MAX_THREADS."""
    wish = environment.get(THREADS_VARIABLE, "") or str(THREADS)
    if not (wish.isascii() and wish.isdigit() and len(wish) < 5 and 0 < int(wish) <= MAX_THREADS):
        raise ConfigError(f"{THREADS_VARIABLE}={wish[:20]} is no number from 1 to {MAX_THREADS}; set another, or none")
    return int(wish)


def _main_on(name: str) -> Callable[[Path, int], Any]:
    async def main(folder: Path, number: int) -> None:
        await GpuDecodeProcess(folder, device_from_name(name), threads_wanted()).run(number)

    return main


if __name__ == "__main__":
    run_child(_main_on(sys.argv[3]))
