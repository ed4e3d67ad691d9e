"""What is counted and measured of one camera's stream."""

from __future__ import annotations

from collections import deque

from photofinish.client.cameras.values.status import IngestProblem

FPS_WINDOW_S = 5.0
MIN_WINDOW_S = 2.0
MOST_FPS = 480.0
MOST_AT_ONCE = 1000
"""Some cameras begin with all that they kept since the last keyframe."""
STEP_S = 1.0
"""Capture times step a little when the camera's own clock becomes known; a larger step is another stream."""


class StreamFigures:
    """Rate, keyframe interval, sizes. The rate is of capture times, so that bursts on the network do not change it."""

    def __init__(self) -> None:
        self.pictures = self.received_bytes = self.lost_packets = self.connections = self.stalls = 0
        self.last_picture_ns: int | None = None
        self.keyframe_interval_s: float | None = None
        self._captured: deque[int] = deque()
        self._keyframe_ns: int | None = None

    def begin_connection(self) -> None:
        """A new connection: what was measured is of another one."""
        self.connections += 1
        self._captured.clear()
        self._keyframe_ns = None
        self.keyframe_interval_s = None

    def add(self, captured_ns: int, arrived_ns: int, size: int, *, is_keyframe: bool) -> None:
        """A picture came."""
        self.pictures += 1
        self.received_bytes += size
        self.last_picture_ns = arrived_ns
        last_ns = self._captured[-1] if self._captured else captured_ns
        if not -STEP_S * 1e9 < captured_ns - last_ns < FPS_WINDOW_S * 1e9:
            self._captured.clear()
        self._captured.append(captured_ns if not self._captured else max(captured_ns, last_ns))
        while captured_ns - self._captured[0] > FPS_WINDOW_S * 1e9:
            self._captured.popleft()
        if is_keyframe:
            if self._keyframe_ns is not None and captured_ns > self._keyframe_ns:
                self.keyframe_interval_s = (captured_ns - self._keyframe_ns) / 1e9
            self._keyframe_ns = captured_ns

    @property
    def fps(self) -> float | None:
        """Pictures a second over the last 5 s; None before 2 s have come."""
        if len(self._captured) < 2 or (span_ns := self._captured[-1] - self._captured[0]) < MIN_WINDOW_S * 1e9:
            return None
        return (len(self._captured) - 1) * 1e9 / span_ns


class PictureBudget:
    """How many pictures are taken of a camera: MOST_FPS, and MOST_AT_ONCE at the beginning. The rest is a flood."""

    def __init__(self) -> None:
        self.has_flooded = False
        self._left = float(MOST_AT_ONCE)
        self._at_ns: int | None = None

    def takes(self, arrived_ns: int) -> bool:
        """Whether one more is taken now."""
        since_s = 0.0 if self._at_ns is None else max(arrived_ns - self._at_ns, 0) / 1e9
        self._at_ns = arrived_ns
        self._left = min(self._left + since_s * MOST_FPS, MOST_AT_ONCE)
        if self._left < 1:
            self.has_flooded = True
            return False
        self._left -= 1
        return True


class IngestError(Exception):
    """An attempt failed, or a connection ended. The text is for people: what was found, what to do. No secrets."""

    def __init__(self, problem: IngestProblem, message: str) -> None:
        super().__init__(message)
        self.problem = problem


class UnsuitableError(IngestError):
    """Our own reader cannot do this camera, FFmpeg may. use_udp: over UDP only."""

    def __init__(self, message: str, *, use_udp: bool = False) -> None:
        super().__init__(IngestProblem.CODEC, message)
        self.use_udp = use_udp
