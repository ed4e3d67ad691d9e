"""Test streams in processes of their own, and how well they keep their times."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from types import TracebackType

from photofinish.client.cameras.streams.process import StreamPlan, stream_name
from photofinish.client.cameras.values.camera import Camera
from photofinish.errors import SourceError
from photofinish.machine.addresses import LOOPBACK

STREAMS_A_PROCESS = 100
"""70 streams of 25 frames a second take a tenth of a core; at 200 one process fell behind on a busy machine."""
START_TIMEOUT_S = 120.0
ANSWER_TIMEOUT_S = 10.0
MAX_LATE_P99_MS = 5.0
"""A generator that is later than this voids what was measured with it."""


class StreamProcesses:
    """Real RTSP streams on this machine while the block lasts.

    late_p99_ms, late_max_ms: how late pictures were sent, by process, None until it is known.
    """

    def __init__(
        self,
        count: int,
        *,
        size_wh: tuple[int, int] = (640, 360),
        frames_per_s: float = 5.0,
        source: str = "",
        codec: str = "h264",
        seconds: float = 8.0,
        is_aligned: bool = False,
        cut_every_s: float = 0.0,
    ) -> None:
        """source: a video that they show; without one the synthetic camera. The last two as in StreamPlan."""
        self._plans = [
            StreamPlan(
                first=first + 1,
                count=min(STREAMS_A_PROCESS, count - first),
                size_wh=size_wh,
                frames_per_s=frames_per_s,
                source=source,
                codec=codec,
                seconds=seconds,
                is_aligned=is_aligned,
                cut_every_s=cut_every_s,
            )
            for first in range(0, count, STREAMS_A_PROCESS)
        ]
        self.late_p99_ms: list[float | None] = [None] * len(self._plans)
        self.late_max_ms: list[float | None] = [None] * len(self._plans)
        self.sent = [0] * len(self._plans)
        self._heard = [0] * len(self._plans)
        self._ports: list[int] = []
        self._processes: list[asyncio.subprocess.Process] = []
        self._readers: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> StreamProcesses:
        """Encode the clips and serve. Raises SourceError when a process cannot."""
        for plan in self._plans:
            self._processes.append(
                await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "photofinish.client.cameras.streams.process",
                    plan.to_text(),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    start_new_session=True,
                )
            )
        try:
            for number, process in enumerate(self._processes):
                line = await asyncio.wait_for(_next_line(process), START_TIMEOUT_S)
                if not line:
                    raise SourceError("the test streams could not be made; see the lines above")
                self._ports.append(int(json.loads(line)["port"]))
                self._readers.append(asyncio.ensure_future(self._read(number, process)))
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the processes."""
        for reader in self._readers:
            reader.cancel()
        for process in self._processes:
            if process.returncode is None:
                process.kill()
            await process.wait()

    def cameras(self, frames_per_s: float) -> list[Camera]:
        """A camera for each stream, of which so many frames a second are due."""
        return [
            Camera(
                name=stream_name(plan.first + number),
                url=f"rtsp://{LOOPBACK}:{port}/{stream_name(plan.first + number)}",
                frames_per_s=frames_per_s,
            )
            for plan, port in zip(self._plans, self._ports, strict=True)
            for number in range(plan.count)
        ]

    @property
    def pids(self) -> list[int]:
        """Ids of the processes that live."""
        return [process.pid for process in self._processes if process.returncode is None]

    async def begin_window(self) -> None:
        """What is told of lateness counts from now on."""
        await self._ask("begin")

    async def report(self) -> None:
        """Have `late_p99_ms`, `late_max_ms` and `sent` up to now."""
        await self._ask("report")

    async def _ask(self, wish: str) -> None:
        """Raises SourceError when a process has ended."""
        heard = list(self._heard)
        for process in self._processes:
            if process.stdin is not None:
                with contextlib.suppress(OSError):
                    process.stdin.write(f"{wish}\n".encode())
        end_s = time.monotonic() + ANSWER_TIMEOUT_S
        while any(now == before for now, before in zip(self._heard, heard, strict=True)):
            if time.monotonic() > end_s or len(self.pids) < len(self._processes):
                raise SourceError("the test streams ended, or do not answer; see the lines above")
            await asyncio.sleep(0.02)

    def verdict(self) -> str:
        """What is wrong with the generator, "" when nothing is known to be."""
        late = [value for value in self.late_p99_ms if value is not None]
        if late and max(late) > MAX_LATE_P99_MS:
            return (
                f"the test streams were sent up to {max(late):.1f} ms late (P99; limit {MAX_LATE_P99_MS:g} ms): "
                "this machine is too busy to be measured with them"
            )
        return ""

    async def _read(self, number: int, process: asyncio.subprocess.Process) -> None:
        while line := await _next_line(process):
            values = json.loads(line)
            self.late_p99_ms[number], self.late_max_ms[number] = values["late_p99_ms"], values["late_max_ms"]
            self.sent[number] = values["sent"]
            self._heard[number] += 1


async def _next_line(process: asyncio.subprocess.Process) -> bytes:
    return await process.stdout.readline() if process.stdout is not None else b""
