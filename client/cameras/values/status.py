"""How a camera and the whole cell are doing: what pages, metrics and tables are drawn from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from photofinish.client.cameras.values.access_unit import ClockKind
from photofinish.client.cameras.values.outcome import CameraDropCause

Quality = Literal["excellent", "fair", "poor", "none"]
"""A connection in a word, from the reconnects and stalls of the last hour and the pictures that came of those due."""
DegradeStep = Literal["full", "halved", "keyframes", "paused"]
"""How much of a camera is served; each step is less than the one before."""
DecodeWay = Literal["gpu", "cpu", "pool"]
"""gpu: a GPU's session of the camera's own. pool: a GPU's sessions that many cameras share, for keyframes only."""


class IngestPhase(str, Enum):
    """Where a camera's connection is."""

    WAITING = "waiting"
    CONNECTING = "connecting"
    PLAYING = "playing"
    STALLED = "stalled"
    STOPPED = "stopped"


class IngestProblem(str, Enum):
    """Why the last attempt failed or the connection ended, for machines; `IngestReport.message` is for people."""

    NONE = ""
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    AUTHENTICATION = "authentication"
    NOT_FOUND = "not_found"
    TLS = "tls"
    CODEC = "codec"
    PROTOCOL = "protocol"
    ENDED = "ended"
    STALL = "stall"


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestReport:
    """What ingest knows of one camera. Counts are since the camera was added.

    message: what was found and what to do, "" when all is well. attempts: since the last picture; next_try_s: seconds
    to the next one. measured_fps: of the last 5 s, None before. offset_ms: the camera's clock less ours where it
    tells one. lines: the last protocol lines, without secrets.
    """

    camera: str
    phase: IngestPhase = IngestPhase.CONNECTING
    problem: IngestProblem = IngestProblem.NONE
    message: str = ""
    attempts: int = 0
    next_try_s: float | None = None
    connections: int = 0
    stalls: int = 0
    codec: str = ""
    announced_fps: float | None = None
    measured_fps: float | None = None
    keyframe_interval_s: float | None = None
    clock: ClockKind = "arrival"
    offset_ms: float | None = None
    lost_packets: int = 0
    received_bytes: int = 0
    pictures: int = 0
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DropCount:
    """A camera's account at one moment: due = inferred + all drops + pending, always."""

    due: int = 0
    inferred: int = 0
    dropped: Mapping[CameraDropCause, int] = field(default_factory=dict)
    pending: int = 0

    @property
    def dropped_total(self) -> int:
        """Frames due and not inferred, all causes."""
        return sum(self.dropped.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraStatus:
    """One camera's row. latency percentiles in ms, None where the sample is too small; over the newest 2000 frames.

    gpu: the number of the GPU that infers its pictures, None without one. decode: what decodes it; decode_reason: why
    that is not a GPU's own session though there is a GPU, or a GPU was asked for.
    decode_message: what is wrong with decoding, "" when nothing is. sampling: what is decoded: all, no B frames
    ("reference"), or keyframes. served_fps: inferred in the last 5 s.
    """

    camera: str
    shown_url: str
    priority: int
    wanted_fps: float
    ingest: IngestReport
    count: DropCount
    size_wh: tuple[int, int] | None = None
    sampling: str = "all"
    step: DegradeStep = "full"
    gpu: int | None = None
    decode: DecodeWay = "cpu"
    decode_reason: str = ""
    decode_message: str = ""
    decoded: int = 0
    served_fps: float = 0.0
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    quality: Quality = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class CellStatus:
    """All cameras at one moment, and what concerns them all.

    at_unix_ns: when. server_message: what is wrong with the server, "" when it answers. notes: what an operator must
    know now, such as the degradation that runs. lost_events: by output, what its receiver was too slow for.
    processes: the id of each by name, 0 while it is not there; restarts: how often each was started again.
    """

    at_unix_ns: int
    uptime_s: float
    variant: str
    cameras: tuple[CameraStatus, ...]
    server_message: str = ""
    notes: tuple[str, ...] = ()
    lost_events: Mapping[str, int] = field(default_factory=dict)
    processes: Mapping[str, int] = field(default_factory=dict)
    restarts: Mapping[str, int] = field(default_factory=dict)
