"""Every camera of a list reached once: what it is, what it sends, and what to do about those that send nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from photofinish.client.cameras.decode.codec import UnitDecoder
from photofinish.client.cameras.ingest.retry import StartPace
from photofinish.client.cameras.ingest.watch import CameraWatch
from photofinish.client.cameras.values.access_unit import AccessUnit, StreamInfo, sane_fps
from photofinish.client.cameras.values.camera import Camera
from photofinish.client.cameras.values.status import IngestPhase, IngestProblem, IngestReport
from photofinish.errors import SourceError

WATCH_S = 6.0
"""How long each camera is watched, at most: measuring a rate takes 2 s, a keyframe interval as long as it is."""
AT_ONCE = 16
GIVE_UP_S = 20.0
SLOW_KEYFRAMES_S = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedCamera:
    """What was found of a camera. advice: what to do, "" when nothing needs to be done."""

    camera: Camera
    is_reachable: bool
    report: IngestReport
    size_wh: tuple[int, int] | None
    announced_fps: float | None
    advice: str


async def check_cameras(
    cameras: Sequence[Camera], *, watch_s: float = WATCH_S, on_done: Callable[[CheckedCamera], None] = lambda row: None
) -> list[CheckedCamera]:
    """All of them, 16 at once, in the order of the list; on_done hears of each as it is known."""
    places, pace = asyncio.Semaphore(AT_ONCE), StartPace()

    async def check(camera: Camera) -> CheckedCamera:
        async with places:
            row = await _Check(camera, pace, watch_s).run()
        on_done(row)
        return row

    return list(await asyncio.gather(*(check(camera) for camera in cameras)))


class _Check:
    """One camera, watched for a few seconds."""

    def __init__(self, camera: Camera, pace: StartPace, watch_s: float) -> None:
        self._camera = camera
        self._pace = pace
        self._watch_s = watch_s
        self._decoder: UnitDecoder | None = None
        self._trouble = ""
        self._size_wh: tuple[int, int] | None = None
        self._coded_fps: float | None = None
        self._info: StreamInfo | None = None

    async def run(self) -> CheckedCamera:
        """Watch until all is known, or the time is over, or the first attempt has failed."""
        watch = CameraWatch(
            self._camera, pace=self._pace, on_open=self._open, on_unit=self._take, on_report=lambda report: None
        )
        begun_s = time.monotonic()
        opened_s: float | None = None
        try:
            while time.monotonic() - begun_s < GIVE_UP_S:
                await asyncio.sleep(0.05)
                report = watch.report()
                if report.phase is IngestPhase.WAITING:
                    break
                if report.phase is IngestPhase.PLAYING and opened_s is None:
                    opened_s = time.monotonic()
                is_known = report.measured_fps is not None and report.keyframe_interval_s is not None
                if (is_known and self._size_wh) or (opened_s and time.monotonic() - opened_s > self._watch_s):
                    break
            report = watch.report()
        finally:
            watch.stop()
        announced = report.announced_fps or self._coded_fps
        return CheckedCamera(
            camera=self._camera,
            is_reachable=report.pictures > 0,
            report=report,
            size_wh=self._size_wh,
            announced_fps=announced,
            advice=self._advice(report),
        )

    def _open(self, connection: int, info: StreamInfo) -> None:
        self._info = info
        try:
            self._decoder = UnitDecoder(info)
        except SourceError as exc:
            self._trouble = str(exc)

    def _take(self, unit: AccessUnit) -> None:
        """Decode the first picture only: it has the size."""
        if self._size_wh is not None or self._decoder is None or not unit.is_keyframe:
            return
        try:
            frame = self._decoder.decode(unit)
        except SourceError as exc:
            self._trouble = str(exc)
            return
        if frame is not None:
            self._size_wh = (frame.width, frame.height)
            self._coded_fps = sane_fps(self._decoder.announced_fps)
            self._trouble = ""

    def _advice(self, report: IngestReport) -> str:
        """The one thing to do first."""
        if report.pictures == 0:
            if report.problem is IngestProblem.NONE:
                return "it plays and sends no picture; look at it with another player, restart it"
            return report.message
        if self._trouble:
            return f"{self._trouble}; restart the camera, or choose another coding in it"
        if self._size_wh is None:
            return f"no keyframe within {self._watch_s:g} s: set a keyframe interval of 1 to 2 s in the camera"
        if report.lost_packets:
            return f"{report.lost_packets} packets were lost: check the network, or take its second, smaller stream"
        wanted, measured = self._camera.frames_per_s, report.measured_fps
        if measured is not None and measured < wanted * 0.95:
            return f"it sends {measured:.3g} fps and {wanted:g} are wanted: raise its rate, or lower frames_per_s"
        if report.keyframe_interval_s is not None and report.keyframe_interval_s > SLOW_KEYFRAMES_S:
            return (
                f"a keyframe every {report.keyframe_interval_s:.3g} s: a loss costs as long; set 1 to 2 s in the camera"
            )
        if report.offset_ms is not None and report.clock == "arrival":
            return f"its clock is {_span(report.offset_ms)} ours: set its NTP server, or latency counts from arrival"
        return ""


def _span(offset_ms: float) -> str:
    """`5.0 years behind`."""
    seconds = abs(offset_ms) / 1000
    for size, unit in ((365 * 86400, "years"), (86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit} {'behind' if offset_ms < 0 else 'ahead of'}"
    return f"{seconds:.1f} s {'behind' if offset_ms < 0 else 'ahead of'}"
