"""One camera for ever: reached for, read, given up when it stalls, and reached for again."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from photofinish.client.cameras.ingest.figures import (
    MOST_FPS,
    IngestError,
    PictureBudget,
    StreamFigures,
    UnsuitableError,
)
from photofinish.client.cameras.ingest.library_reader import read_by_library
from photofinish.client.cameras.ingest.retry import StartPace, delay_s, host_and_port, wait_for_return
from photofinish.client.cameras.ingest.rtsp_reader import read_rtsp, require_own_host
from photofinish.client.cameras.values.access_unit import AccessUnit, ClockKind, StreamInfo
from photofinish.client.cameras.values.camera import Camera
from photofinish.client.cameras.values.status import IngestPhase, IngestProblem, IngestReport
from photofinish.errors import reason_from_error

STALL_S = 3.0
STALL_INTERVALS = 5
FIRST_PICTURE_S = 10.0
"""A camera that plays may take so long for its first picture."""
PROVEN_S = 10.0
"""A connection that gave pictures for so long lets the waits begin anew."""
CHECK_EVERY_S = 0.25
MAX_LINES = 20
MAX_WORDS = 300


class CameraWatch:
    """Reads one camera until it is stopped. on_open(info) begins a connection's pictures, on_unit hears of each."""

    def __init__(
        self,
        camera: Camera,
        *,
        pace: StartPace,
        on_open: Callable[[int, StreamInfo], None],
        on_unit: Callable[[AccessUnit], None],
        on_report: Callable[[IngestReport], None],
        chance: random.Random | None = None,
    ) -> None:
        self.camera = camera
        self.figures = StreamFigures()
        self._budget = PictureBudget()
        self._pace = pace
        self._on_open = on_open
        self._on_unit = on_unit
        self._on_report = on_report
        self._chance = chance or random.Random()
        self._lines: deque[str] = deque(maxlen=MAX_LINES)
        self._report = IngestReport(camera=camera.name)
        self._by_library: UnsuitableError | None = None
        self._opened_ns: int | None = None
        self._clock: ClockKind = "arrival"
        self._offset_ms: float | None = None
        self._lost_before = self._lost_now = 0
        self._end_start: Callable[[], None] = lambda: None
        self._next_try_at: float | None = None
        self._task = asyncio.ensure_future(self._run())

    def stop(self) -> None:
        """End at once; nothing is heard of it any more."""
        self._task.cancel()

    def report(self) -> IngestReport:
        """The camera now."""
        figures = self.figures
        left_s = None if self._next_try_at is None else max(self._next_try_at - time.monotonic(), 0.0)
        return replace(
            self._report,
            next_try_s=left_s,
            connections=figures.connections,
            stalls=figures.stalls,
            measured_fps=figures.fps if self._report.phase is IngestPhase.PLAYING else None,
            keyframe_interval_s=figures.keyframe_interval_s,
            clock=self._clock,
            offset_ms=self._offset_ms,
            lost_packets=self._lost_before + self._lost_now,
            received_bytes=figures.received_bytes,
            pictures=figures.pictures,
            lines=tuple(self._lines),
        )

    def on_line(self, line: str) -> None:
        """A line of the protocol."""
        self._lines.append(f"{time.strftime('%H:%M:%S')} {self._shown(line)}")

    def _shown(self, text: str) -> str:
        """What may be shown of words that are partly the camera's: short, no secrets, nothing that a terminal obeys."""
        words = self.camera.without_secrets(text[: 4 * MAX_WORDS])[:MAX_WORDS]
        return "".join(letter if letter.isprintable() else "?" for letter in words)

    def on_stream(self, info: StreamInfo) -> None:
        """The camera plays."""
        self._end_start()
        self._opened_ns = time.perf_counter_ns()
        self.figures.begin_connection()
        self._on_open(self.figures.connections, info)
        self._set(
            phase=IngestPhase.PLAYING,
            problem=IngestProblem.NONE,
            message="",
            codec=info.codec,
            announced_fps=info.announced_fps,
        )

    def on_picture(
        self,
        data: bytes,
        *,
        captured_ns: int,
        arrived_ns: int,
        clock: ClockKind,
        is_keyframe: bool,
        is_reference: bool,
        is_after_loss: bool,
    ) -> None:
        """A coded picture came."""
        if not self._budget.takes(arrived_ns):
            return  # the connection is ended for it within CHECK_EVERY_S
        self.figures.add(captured_ns, arrived_ns, len(data), is_keyframe=is_keyframe)
        self._clock = clock
        self._on_unit(
            AccessUnit(
                camera=self.camera.name,
                connection=self.figures.connections,
                data=data,
                captured_ns=captured_ns,
                arrived_ns=arrived_ns,
                clock=clock,
                is_keyframe=is_keyframe,
                is_reference=is_reference,
                is_after_loss=is_after_loss,
            )
        )

    def on_transport(self, lost_packets: int, offset_ms: float | None) -> None:
        """What the network did on this connection."""
        self._lost_now, self._offset_ms = lost_packets, offset_ms

    async def _run(self) -> None:
        attempts = 0
        while True:
            self._set(phase=IngestPhase.CONNECTING, attempts=attempts)
            self._end_start = await self._pace.begin()
            began_ns, before = time.perf_counter_ns(), self.figures.pictures
            try:
                failure = await self._connect()
            finally:
                self._end_start()
            if isinstance(failure, UnsuitableError) and self._by_library is None:
                self.on_line(f"{failure}; FFmpeg reads it")
                self._by_library = failure
                continue
            last_ns = self.figures.last_picture_ns or began_ns
            has_played = self.figures.pictures > before and last_ns - began_ns > PROVEN_S * 1e9
            attempts = 1 if has_played else attempts + 1
            self._lost_before, self._lost_now = self._lost_before + self._lost_now, 0
            self.on_line(f"! {failure}")
            await self._wait(attempts, failure)

    async def _connect(self) -> IngestError:
        """Read until it fails or stalls; what ended it."""
        self._opened_ns = None
        self._budget = PictureBudget()
        reading = asyncio.ensure_future(self._read())
        try:
            while not reading.done():
                await asyncio.wait((reading,), timeout=CHECK_EVERY_S)
                if self._budget.has_flooded:
                    text = f"the camera sends more than {MOST_FPS:g} pictures a second; restart it, or its encoder"
                    return IngestError(IngestProblem.PROTOCOL, text)
                if not reading.done() and (silence_s := self._silence_s()) > (limit_s := self._stall_limit_s()):
                    self.figures.stalls += 1
                    self._set(phase=IngestPhase.STALLED)
                    text = (
                        f"connected, and no picture for {silence_s:.1f} s (limit {limit_s:.1f} s); is its encoder busy?"
                    )
                    return IngestError(IngestProblem.STALL, text)
        finally:
            if not reading.done():
                reading.cancel()
        error = reading.exception() if not reading.cancelled() else None
        if isinstance(error, IngestError):
            return error
        if error is not None:  # a bug of ours must not end the camera
            return IngestError(
                IngestProblem.PROTOCOL, self.camera.without_secrets(f"unexpected: {reason_from_error(error)}")
            )
        return IngestError(IngestProblem.ENDED, "the source has ended")

    async def _read(self) -> None:
        camera = self.camera
        is_rtsp = camera.url.lower().startswith(("rtsp://", "rtsps://"))
        if is_rtsp and camera.transport == "tcp" and self._by_library is None:
            await read_rtsp(camera, self)
        else:
            use_udp = camera.transport == "udp" or (self._by_library is not None and self._by_library.use_udp)
            await require_own_host(camera, self.on_line)
            await read_by_library(camera, self, use_udp=use_udp)

    def _silence_s(self) -> float:
        if self._opened_ns is None:
            return 0.0  # the reader has limits of its own for connecting
        return (time.perf_counter_ns() - max(self._opened_ns, self.figures.last_picture_ns or 0)) / 1e9

    def _stall_limit_s(self) -> float:
        if self.camera.stall_s is not None:
            return self.camera.stall_s
        if self._opened_ns is not None and (self.figures.last_picture_ns or 0) < self._opened_ns:
            return FIRST_PICTURE_S
        fps = self.figures.fps or self._report.announced_fps
        return max(STALL_S, STALL_INTERVALS / fps) if fps else FIRST_PICTURE_S

    async def _wait(self, attempts: int, failure: IngestError) -> None:
        seconds = delay_s(attempts, failure.problem, self._chance)
        self._next_try_at = time.monotonic() + seconds
        message = self._shown(str(failure))
        self._set(phase=IngestPhase.WAITING, problem=failure.problem, message=message, attempts=attempts)
        try:
            await wait_for_return(seconds, failure.problem, host_and_port(self.camera.url))
        finally:
            self._next_try_at = None

    def _set(self, **changes: object) -> None:
        self._report = replace(self._report, **changes)  # type: ignore[arg-type]
        self._on_report(self.report())
