"""What the processes of a cell tell each other, beside the values of `values/`.

owner → ingest: WatchCamera, SendTo, ForgetCamera. ingest → owner: tuples of IngestReport.
ingest → decoder: OpenStream, AccessUnit, ForgetCamera. owner → decoder: DecodeCamera, ForgetCamera, WriteFrame, and
to a GPU's TrySessions, ForgetRegion. decoder → owner: DueFrame, FrameWritten, tuples of DecodeReport, SessionsTried.
Each process begins with Hello to the owner.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from photofinish.client.cameras.values.access_unit import StreamInfo
from photofinish.client.cameras.values.camera import Camera
from photofinish.client.cameras.values.outcome import DueFrame
from photofinish.letterbox import Letterbox

ProcessKind = Literal["ingest", "decode"]
DecodeState = Literal["ok", "waiting", "before_keyframe", "not_decodable", "behind"]
"""waiting: nothing came yet. behind: more came than this decoder can do; it begins again at the next keyframe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """The first word of a process to its owner."""

    kind: ProcessKind
    number: int
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchCamera:
    """Watch this camera, or watch it in this changed way. decoder: the socket that its pictures go to."""

    camera: Camera
    decoder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SendTo:
    """Hand a camera's pictures to another decoder from now on, and what was kept of them first; it stays connected."""

    camera: str
    decoder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetCamera:
    """Have nothing to do with this camera any more."""

    camera: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenStream:
    """What a camera's pictures are from now on."""

    camera: str
    connection: int
    info: StreamInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeCamera:
    """How much of a camera to decode. frames_per_s: how often a picture is wanted; 0 is never.

    anchor_ns: when one of the wanted pictures is due, in perf_counter_ns. keyframes_only: nothing but keyframes,
    whatever is wanted. priority: of the camera; a GPU opens decoders of higher ones first. pool_sessions: above 0 the
    camera has no decoder of its own on a GPU: its keyframes go through this many that all such cameras share.
    """

    camera: str
    frames_per_s: float
    anchor_ns: int = 0
    keyframes_only: bool = False
    priority: int = 0
    pool_sessions: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteFrame:
    """Write the camera's newest picture, letterboxed for a model, at `position` of a region.

    region: "process/descriptor/inode/…" of memory of this machine; shape: of the whole region, batch first; datatype:
    numpy's name. contract: frames or tensor. request: comes back in FrameWritten.
    """

    request: int
    camera: str
    region: str
    shape: tuple[int, ...]
    datatype: str
    position: int
    contract: str
    input_wh: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetRegion:
    """Let go of a region on the GPU: its owner closes it, and the memory lives as long as somebody has it open."""

    region: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameWritten:
    """The picture `frame` lies in the region; None when there was none, and then `message` says why."""

    request: int
    camera: str
    frame: DueFrame | None
    letterbox: Letterbox | None = None
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A GPU does not decode a camera. reason: for people. sessions: how many were open when it took no more."""

    reason: str
    sessions: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrySessions:
    """Open so many sessions more than there are, give them back, and tell how many there could be."""

    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionsTried:
    """The decode process of this number could open so many sessions more."""

    number: int
    opened: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeReport:
    """What a decoder knows of one camera. Counts since the camera was given to this process.

    passed_over: units that were not decoded because nobody needed them; sampling: all, reference, keyframes.
    refusal: the camera is to be decoded elsewhere.
    """

    camera: str
    state: DecodeState = "waiting"
    message: str = ""
    size_wh: tuple[int, int] | None = None
    sampling: str = "all"
    decoded: int = 0
    passed_over: int = 0
    failed: int = 0
    late: int = 0
    refusal: Refusal | None = None
