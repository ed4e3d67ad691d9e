"""A camera's row from its seat, and its connection in a word."""

from __future__ import annotations

from collections import deque

from photofinish.client.cameras.schedule.seat import CameraSeat
from photofinish.client.cameras.values.status import CameraStatus, IngestPhase, Quality

HOUR_NS = 3600 * 10**9
FAIR_SHARE, POOR_SHARE = 0.9, 0.6
FAIR_RECONNECTS, POOR_RECONNECTS = 1, 5


class ConnectionHistory:
    """When a camera's connections began and stalled, over the last hour."""

    def __init__(self) -> None:
        self._events_ns: deque[int] = deque(maxlen=1000)
        self._seen = 0

    def note(self, connections: int, stalls: int, now_ns: int) -> None:
        """What ingest counts now. The first connection is none too many."""
        count = max(connections - 1, 0) + stalls
        for _ in range(min(count - self._seen, 50)):
            self._events_ns.append(now_ns)
        self._seen = max(count, self._seen)

    def count(self, now_ns: int) -> int:
        """Reconnections and stalls of the last hour."""
        while self._events_ns and now_ns - self._events_ns[0] > HOUR_NS:
            self._events_ns.popleft()
        return len(self._events_ns)


def quality_of(events: int, measured_fps: float | None, expected_fps: float, *, is_playing: bool) -> Quality:
    """The word: none without pictures; else by how often the connection broke, and by the pictures that come."""
    if not is_playing:
        return "none"
    share = 1.0 if measured_fps is None else measured_fps / expected_fps
    if events > POOR_RECONNECTS or share < POOR_SHARE:
        return "poor"
    if events > FAIR_RECONNECTS or share < FAIR_SHARE:
        return "fair"
    return "excellent"


def status_from_seat(seat: CameraSeat, history: ConnectionHistory, now_ns: int) -> CameraStatus:
    """The camera's row now. Raises AccountError when its account does not add up."""
    camera, ingest = seat.camera, seat.ingest
    p50, p95, p99 = seat.percentiles_ms()
    expected = min(camera.frames_per_s, ingest.announced_fps or camera.frames_per_s)
    is_playing = ingest.phase is IngestPhase.PLAYING and ingest.pictures > 0
    return CameraStatus(
        camera=camera.name,
        shown_url=camera.shown_url,
        priority=camera.priority,
        wanted_fps=camera.frames_per_s,
        ingest=ingest,
        count=seat.account.count(),
        size_wh=seat.decode.size_wh,
        sampling=seat.decode.sampling,
        step=seat.step,
        decode=seat.way,
        decode_message=seat.decode.message if seat.is_decoded else "its decode process is started again",
        decoded=seat.decode.decoded,
        served_fps=seat.served_fps(now_ns),
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        quality=quality_of(history.count(now_ns), ingest.measured_fps, expected, is_playing=is_playing),
    )
