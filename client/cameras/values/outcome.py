"""What becomes of a frame that was due: inferred, or dropped with one cause."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from photofinish.client.cameras.values.access_unit import ClockKind
from photofinish.client.cameras.values.camera import Line, Zone
from photofinish.detections import Detections


class CameraDropCause(str, Enum):
    """Why a due frame of a camera was not inferred. The value is the label in JSON, metrics and pages.

    NOT_CONNECTED: there is no connection. STALLED: connected, and no picture came in time. NOT_DECODABLE: what came is
    no picture, packets of it were lost, or its decode process had ended. BEFORE_KEYFRAME: pictures came, and none that
    a decoder can begin with. SUPERSEDED: a newer picture of the camera took its place before the server was free.
    TOO_OLD: it waited longer than the camera's maximum age. DEGRADED: left out on purpose, to keep others in time.
    SERVER_FAILED: the server refused it, or did not answer. STOPPED: the run, or the camera in it, ended.
    """

    NOT_CONNECTED = "not_connected"
    STALLED = "stalled"
    NOT_DECODABLE = "not_decodable"
    BEFORE_KEYFRAME = "before_keyframe"
    SUPERSEDED = "superseded"
    TOO_OLD = "too_old"
    DEGRADED = "degraded"
    SERVER_FAILED = "server_failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class DueFrame:
    """A decoder holds this decoded picture of a camera and can write it into a region now.

    sequence counts the pictures that the decoder told of, per camera. Times and clock as in AccessUnit; decoded_ns:
    when the decoder had it. size_wh: of this picture. connection: the camera's, counted from 1 by ingest.
    """

    camera: str
    sequence: int
    captured_ns: int
    arrived_ns: int
    decoded_ns: int
    clock: ClockKind
    size_wh: tuple[int, int]
    connection: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Inferred:
    """One frame of one camera with its boxes; what every output hears.

    tick: which of the camera's due frames it is, from 0; after a burst an older one may come behind a newer one, while
    captured_ns rises always. captured_unix_ns: capture time as a wall clock tells it.
    latency_ns: from capture to the boxes being here; by `clock`. batch_size: pictures in its request.
    class_names: by class number. zones, lines: those that the camera's row names. is_tracked, is_filmed: whether its
    objects are followed, and its frames filmed. connection: as in DueFrame. track_ids: of each box the id of its
    object's event, "" for a box of none; None before the frame was tracked, and of a camera that is not.
    """

    camera: str
    tick: int
    captured_ns: int
    captured_unix_ns: int
    clock: ClockKind
    arrived_ns: int
    finished_ns: int
    size_wh: tuple[int, int]
    detections: Detections
    class_names: tuple[str, ...]
    variant: str
    batch_size: int = 1
    zones: tuple[Zone, ...] = ()
    lines: tuple[Line, ...] = ()
    is_tracked: bool = False
    is_filmed: bool = False
    connection: int = 0
    track_ids: tuple[str, ...] | None = None

    def class_name(self, number: int) -> str:
        """The name of a class, or its number where the model names none."""
        return self.class_names[number] if 0 <= number < len(self.class_names) else str(number)

    @property
    def latency_ns(self) -> int:
        """From capture to the boxes; from arrival where the camera's clock cannot be believed, which `clock` tells."""
        return max(self.finished_ns - self.captured_ns, 0)
