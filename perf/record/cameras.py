"""The evidence of a run with many cameras: accounts, raw latencies and what was used, one step for each count."""

from __future__ import annotations

import gzip
import json
import zlib
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from photofinish.errors import ConfigError, said_of_file
from photofinish.perf.record.codec import value_from_json
from photofinish.perf.record.observation import GpuObservation
from photofinish.perf.record.record import GZIP_MAGIC, write_whole

CAMERAS_SCHEMA_VERSION = 1
CAMERAS_KIND = "cameras"


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraWindow:
    """One camera's account through the window: pending_before + due = inferred + dropped + pending_after.

    latencies_ns: from capture to the boxes, of the frames that were inferred in it. clock: rtcp or arrival, what
    capture is by. gpu: the driver's number of the GPU that inferred it, None without one. decode: gpu, cpu or pool, the
    least of what decoded it at the window's two ends; "" in older records.
    """

    camera: str
    due: int
    inferred: int
    dropped: dict[str, int]
    pending_before: int = 0
    pending_after: int = 0
    latencies_ns: tuple[int, ...] = ()
    clock: str = "arrival"
    gpu: int | None = None
    decode: str = ""

    def __post_init__(self) -> None:
        """Raise ValueError when the account does not add up."""
        came, went = self.pending_before + self.due, self.inferred + self.dropped_total + self.pending_after
        if came != went:
            raise ValueError(f"camera {self.camera}: {came} frames were due, but {went} have an outcome or are pending")

    @property
    def dropped_total(self) -> int:
        """Drops of all causes."""
        return sum(self.dropped.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class CamerasStep:
    """What one number of cameras did. cores: by part (server, owner, ingest, decode, generator); memory_bytes too.

    other_cores: what other programs used; None where not known. late_p99_ms, late_max_ms: how late the generator sent,
    None where too few pictures were sent to tell. restarts: processes that ended by themselves. warm_up_s: until every
    camera was served; is_warm: whether that came to be. busiest_cores: the busiest process of each part.
    lost_packets: of all cameras through the window. session_limit: the fewest decoders that a GPU had open when it
    opened no more; session_limits: of each such GPU, by its number.
    """

    cameras: int
    window_s: float
    warm_up_s: float
    is_warm: bool
    rows: tuple[CameraWindow, ...]
    cores: dict[str, float]
    memory_bytes: dict[str, int]
    other_cores: float | None = None
    other_programs: tuple[tuple[str, float], ...] = ()
    gpus: tuple[GpuObservation, ...] = ()
    late_p99_ms: float | None = None
    late_max_ms: float | None = None
    sent: int = 0
    restarts: int = 0
    notes: tuple[str, ...] = ()
    busiest_cores: dict[str, float] = field(default_factory=dict)
    lost_packets: int = 0
    session_limit: int | None = None
    session_limits: dict[str, int] = field(default_factory=dict)

    @property
    def gpu_numbers(self) -> tuple[int, ...]:
        """The GPUs that inferred cameras; () where none did, or an older record does not tell."""
        return tuple(sorted({row.gpu for row in self.rows if row.gpu is not None}))

    @property
    def decoded(self) -> dict[str, int]:
        """Cameras by what decoded them; those of older records are not counted."""
        return dict(Counter(row.decode for row in self.rows if row.decode))


@dataclass(frozen=True, slots=True, kw_only=True)
class CamerasRecord:
    """A whole run. stream: what each camera sends. wanted_fps: what is inferred of each. accuracy: of the gate.

    gpus: over which the cameras are spread, as the driver numbers them; () without one. decode: what was asked to
    decode, as of `cameras run`.
    """

    command: str
    created_utc: str
    environment: dict[str, Any]
    variant: str
    stream: dict[str, Any]
    wanted_fps: float
    limits: dict[str, float]
    steps: tuple[CamerasStep, ...] = ()
    accuracy: dict[str, Any] = field(default_factory=dict)
    gpus: tuple[int, ...] = ()
    decode: str = "auto"
    is_complete: bool = False
    kind: str = CAMERAS_KIND
    schema_version: int = CAMERAS_SCHEMA_VERSION

    def with_step(self, step: CamerasStep) -> CamerasRecord:
        """The record with one step more."""
        return replace(self, steps=(*self.steps, step))


def write_cameras_record(record: CamerasRecord, path: Path) -> None:
    """Write the file in one step. Raises ConfigError when it cannot be written."""
    write_whole(json.dumps(asdict(record), ensure_ascii=False, separators=(",", ":"), sort_keys=True) + "\n", path)


def read_cameras_record(path: Path) -> CamerasRecord:
    """The record in a file, gzipped or not. Raises ConfigError that says what is wrong with it."""
    values = json_from_file(path)
    if not is_cameras_record(values) or values.get("schema_version") != CAMERAS_SCHEMA_VERSION:
        raise ConfigError(f"{path} is no record that this version's `photofinish perf cameras` wrote")
    return value_from_json(CamerasRecord, values, path.name)


def json_from_file(path: Path) -> Any:
    """What a file holds, gzipped or not. Raises ConfigError."""
    try:
        raw = path.read_bytes()
        return json.loads(gzip.decompress(raw) if raw.startswith(GZIP_MAGIC) else raw)
    except (OSError, ValueError, EOFError, zlib.error) as exc:
        raise ConfigError(
            f"{path} cannot be read as a record of cameras: {said_of_file(exc)}; give a JSON file that "
            "`photofinish perf cameras` wrote"
        ) from exc


def is_cameras_record(values: Any) -> bool:
    """Whether what a file holds is of this kind."""
    return isinstance(values, dict) and values.get("kind") == CAMERAS_KIND


def is_cameras_file(path: Path) -> bool:
    """Whether a file is a record of cameras; whatever else is wrong with it is its reader's."""
    try:
        return is_cameras_record(json_from_file(path))
    except ConfigError:
        return False
