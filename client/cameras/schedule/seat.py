"""One camera at the owner: its due frames, the picture that waits for the server, and why others were lost."""

from __future__ import annotations

import math
import zlib
from collections import deque
from dataclasses import dataclass

import numpy as np

from photofinish.client.cameras.account.account import CameraAccount
from photofinish.client.cameras.schedule.due import DueSchedule
from photofinish.client.cameras.values.camera import Camera
from photofinish.client.cameras.values.outcome import CameraDropCause, DueFrame
from photofinish.client.cameras.values.status import DecodeWay, DegradeStep, IngestPhase, IngestReport
from photofinish.client.cameras.wire.messages import DecodeCamera, DecodeReport
from photofinish.percentiles import carried_percentile

MAX_LATENCIES = 2000
MAX_EARLY_NS = 250_000_000
SERVED_WINDOW_NS = 5 * 10**9
BURST_NS = 50_000_000
"""A picture whose place is taken sooner came in a burst: that no server could have had it is no overload."""


@dataclass(frozen=True, slots=True)
class SeatLoad:
    """Frames that came due, those lost because the machine was too slow, and those of them that decoding was for."""

    due: int
    overloaded: int
    behind: int


@dataclass(frozen=True, slots=True)
class WaitingFrame:
    """A picture that is due as `tick` and may be sent. taken_ns: when the owner had it."""

    tick: int
    frame: DueFrame
    taken_ns: int


def phase_ns(camera: Camera) -> int:
    """When in its interval a camera's frames are due: by its name, so that many cameras are not due in one moment."""
    return zlib.crc32(camera.name.encode()) * round(1e9 / camera.frames_per_s) >> 32


class CameraSeat:
    """All that the owner knows of one camera. Not for several threads.

    is_served: whether the server answers; is_decoded: whether the camera's decode process lives.
    way, pool_sessions: how it is decoded, and how many sessions it shares where it shares some.
    sent_fps, size_wh: what the camera sends, as last known; 0 and None before.
    came_due, overloaded, behind: as in SeatLoad, since `take_load`.
    """

    def __init__(self, camera: Camera, now_ns: int) -> None:
        self.camera = camera
        self.account = CameraAccount(camera.name)
        self.schedule = DueSchedule(now_ns + phase_ns(camera), camera.frames_per_s)
        self.ingest = IngestReport(camera=camera.name)
        self.decode = DecodeReport(camera=camera.name)
        self.step: DegradeStep = "full"
        self.is_served = True
        self.is_decoded = True
        self.last_served_ns = 0
        self.way: DecodeWay = "cpu"
        self.pool_sessions = 0
        self.sent_fps = 0.0
        self.size_wh: tuple[int, int] | None = None
        self.came_due = self.overloaded = self.behind = 0
        self.waiting: WaitingFrame | None = None
        self._writing: WaitingFrame | None = None
        self._open: dict[int, CameraDropCause | None] = {}
        self._next_due_ns = 0
        self._pictures_before = 0
        self._latencies_ns = np.zeros(MAX_LATENCIES, np.int64)
        self._latency_count = 0
        self._served_at_ns: deque[int] = deque()

    def wish(self) -> DecodeCamera:
        """What its decoder is to do now."""
        rate = {"full": 1.0, "halved": 0.5, "keyframes": 1.0, "paused": 0.0}[self.step] * self.camera.frames_per_s
        return DecodeCamera(
            camera=self.camera.name,
            frames_per_s=rate,
            anchor_ns=self.schedule.time_ns(0),
            keyframes_only=self.step == "keyframes" or self.way == "pool",
            priority=self.camera.priority,
            pool_sessions=self.pool_sessions if self.way == "pool" else 0,
        )

    def hear_ingest(self, report: IngestReport) -> None:
        """Ingest told of the camera."""
        if report.connections != self.ingest.connections:
            self._pictures_before = report.pictures
        self.ingest = report
        self.sent_fps = report.measured_fps or self.sent_fps

    def hear_decoder(self, report: DecodeReport) -> None:
        """Its decoder told of the camera."""
        self.decode = report
        self.size_wh = report.size_wh or self.size_wh

    @property
    def pixels_per_s(self) -> float:
        """What a decoder of every picture has to do; 0 before it is known."""
        return math.prod(self.size_wh) * self.sent_fps if self.size_wh else 0.0

    def advance(self, now_ns: int) -> None:
        """Make due what is due by now, and drop what nothing came for."""
        if now_ns < self._next_due_ns and not self._open and self.waiting is None:
            return  # as nearly always: it is asked fifty times a second
        self._open_due(now_ns)
        limit_ns = now_ns - self.schedule.window_ns
        for tick in [tick for tick in self._open if self.schedule.time_ns(tick) < limit_ns]:
            trouble = self._open.pop(tick) or self._trouble() or CameraDropCause.STALLED
            self.account.close_dropped(tick, trouble)
            self.overloaded += trouble is CameraDropCause.TOO_OLD
            self.behind += trouble is CameraDropCause.TOO_OLD  # nobody has seen a picture of it
        if self.waiting is not None and now_ns - self.waiting.frame.arrived_ns > self.camera.max_age_s * 1e9:
            self._lose_waiting(CameraDropCause.TOO_OLD, now_ns)

    def change_rate(self, now_ns: int, frames_per_s: float) -> None:
        """Another rate from the next frame on."""
        self.advance(now_ns)
        self.schedule.change(now_ns, frames_per_s)
        self._next_due_ns = 0

    def take(self, frame: DueFrame, now_ns: int) -> None:
        """A picture is there: it is the newest frame that is due, or the next one if that is nearly due.

        The newest, since a camera of just the wanted rate would otherwise be late for ever after a pause. The next one
        becomes due a little early then, so that no picture waits for its time.
        """
        self._open_due(now_ns)
        if not self._open and self.step != "paused":
            next_ns = self.schedule.time_ns(self.account.due)
            if next_ns - frame.arrived_ns < min(self.schedule.period_ns // 2, MAX_EARLY_NS):
                self._open_due(next_ns)
        if not self._open:
            return
        tick, _ = self._open.popitem()
        self._lose_waiting(CameraDropCause.SUPERSEDED, now_ns)
        self.waiting = WaitingFrame(tick, frame, now_ns)

    @property
    def has_load(self) -> bool:
        """Whether something came due or was lost since `take_load`."""
        return bool(self.came_due or self.overloaded or self.behind)

    def take_load(self) -> SeatLoad:
        """What came due and was lost since it was asked before."""
        load = SeatLoad(self.came_due, self.overloaded, self.behind)
        self.came_due = self.overloaded = self.behind = 0
        return load

    def _open_due(self, now_ns: int) -> None:
        for tick in self.account.open_up_to(self.schedule.due_by(now_ns)):
            self.came_due += 1
            if self.step == "paused" or (self.step == "halved" and tick % 2):
                self.account.close_dropped(tick, CameraDropCause.DEGRADED)
            else:
                self._open[tick] = self._trouble()
        self._next_due_ns = self.schedule.time_ns(self.account.due)

    def forget_sequence(self) -> None:
        """Another decode process counts its pictures from 1 again, and has none of those that were told of."""
        if self.waiting is not None:
            self.account.close_dropped(self.waiting.tick, CameraDropCause.NOT_DECODABLE)
            self.waiting = None

    def begin_writing(self) -> WaitingFrame | None:
        """The waiting frame goes into a batch."""
        self._writing, self.waiting = self.waiting, None
        return self._writing

    @property
    def is_ready(self) -> bool:
        """Whether a frame may be sent now."""
        return self.waiting is not None and self._writing is None

    def written(self, frame: DueFrame | None) -> int | None:
        """What the decoder wrote, which may be newer than what was asked for; the tick that it is, None for nothing."""
        asked, self._writing = self._writing, None
        if asked is None:
            return None
        if frame is None:
            self.account.close_dropped(asked.tick, CameraDropCause.NOT_DECODABLE)
            return None
        if self.waiting is not None and self.waiting.frame.sequence <= frame.sequence:
            self.account.close_dropped(asked.tick, CameraDropCause.SUPERSEDED)
            asked, self.waiting = self.waiting, None
        return asked.tick

    def lose_writing(self, cause: CameraDropCause) -> None:
        """The frame that was to be written is given up."""
        asked, self._writing = self._writing, None
        if asked is not None:
            self.account.close_dropped(asked.tick, cause)

    def close_inferred(self, tick: int, latency_ns: int, now_ns: int) -> None:
        """The frame's boxes are there."""
        self.account.close_inferred(tick)
        self._latencies_ns[self._latency_count % MAX_LATENCIES] = latency_ns
        self._latency_count += 1
        self._served_at_ns.append(now_ns)

    def served_fps(self, now_ns: int) -> float:
        """Frames inferred a second, over the last 5 s."""
        while self._served_at_ns and now_ns - self._served_at_ns[0] > SERVED_WINDOW_NS:
            self._served_at_ns.popleft()
        return len(self._served_at_ns) * 1e9 / SERVED_WINDOW_NS

    def percentiles_ms(self) -> tuple[float | None, float | None, float | None]:
        """P50, P95 and P99 from capture to boxes; None where there are too few."""
        values = self._latencies_ns[: self._latency_count]
        found = [carried_percentile(values, share) for share in (0.5, 0.95, 0.99)]
        p50, p95, p99 = (None if value is None else value / 1e6 for value in found)
        return p50, p95, p99

    def stop(self) -> None:
        """The camera is watched no more."""
        self.waiting = self._writing = None
        self._open.clear()
        self.account.close_all(CameraDropCause.STOPPED)

    def _trouble(self) -> CameraDropCause | None:
        """Why no picture comes now; None when one should."""
        if not self.is_decoded:
            return CameraDropCause.NOT_DECODABLE
        phase = self.ingest.phase
        if phase is IngestPhase.STALLED:
            return CameraDropCause.STALLED
        if phase is not IngestPhase.PLAYING:
            return CameraDropCause.NOT_CONNECTED
        if self.step in ("keyframes", "paused"):
            return CameraDropCause.DEGRADED
        if self.decode.state == "not_decodable":
            return CameraDropCause.NOT_DECODABLE
        if self.decode.state == "behind":
            return CameraDropCause.TOO_OLD
        if self.decode.state == "before_keyframe" and self.ingest.pictures > self._pictures_before:
            return CameraDropCause.BEFORE_KEYFRAME
        return CameraDropCause.DEGRADED if self.way == "pool" else None

    def _lose_waiting(self, cause: CameraDropCause, now_ns: int) -> None:
        if self.waiting is not None:
            came_in_burst = cause is CameraDropCause.SUPERSEDED and now_ns - self.waiting.taken_ns < BURST_NS
            self.overloaded += self.is_served and not came_in_burst
            self.account.close_dropped(self.waiting.tick, cause if self.is_served else CameraDropCause.SERVER_FAILED)
            self.waiting = None
