"""A camera watched in a test: what came of it, and how to wait for it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

from photofinish.client.cameras.ingest.retry import StartPace
from photofinish.client.cameras.ingest.watch import CameraWatch
from photofinish.client.cameras.values.access_unit import AccessUnit, StreamInfo
from photofinish.client.cameras.values.camera import Camera
from photofinish.client.cameras.values.status import IngestPhase, IngestReport


class Watched:
    """A CameraWatch with ears. Make it in a running loop, and stop it."""

    def __init__(self, camera: Camera) -> None:
        self.units: list[AccessUnit] = []
        self.infos: list[StreamInfo] = []
        self.reports: list[IngestReport] = []
        self.watch = CameraWatch(
            camera,
            pace=StartPace(),
            on_open=lambda connection, info: self.infos.append(info),
            on_unit=self.units.append,
            on_report=self.reports.append,
            chance=random.Random(0),
        )

    @property
    def now(self) -> IngestReport:
        return self.watch.report()

    async def until(self, holds: Callable[[IngestReport], bool], timeout_s: float = 60.0) -> IngestReport:
        await until(lambda: holds(self.now), timeout_s)
        return self.now

    async def waiting(self, timeout_s: float = 60.0) -> IngestReport:
        return await self.until(lambda report: report.phase is IngestPhase.WAITING, timeout_s)

    async def pictures(self, count: int, timeout_s: float = 60.0) -> None:
        wanted = len(self.units) + count
        await until(lambda: len(self.units) >= wanted, timeout_s)


async def until(holds: Callable[[], bool], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "did not come true in time"
        await asyncio.sleep(0.002)
