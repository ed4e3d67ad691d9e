"""What a GPU must do for its decode process, so that a stand-in without one can take its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from photofinish.client.cameras.decode.nv12.job import Colours, LetterboxJob
from photofinish.errors import PhotofinishError, SourceError


class SessionLimitError(SourceError):
    """The GPU opens no more decoding sessions."""


class LackingError(SourceError):
    """The GPU cannot decode this stream, now and later."""


class DeviceLostError(PhotofinishError):
    """Nothing works on the GPU any more before this process has ended: no camera's fault, and nobody may catch it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamFacts:
    """What a decoder must know of a stream. is_reordered: pictures are shown in another order than they are coded."""

    codec: str
    size_wh: tuple[int, int]
    colours: Colours = field(default_factory=Colours)
    is_reordered: bool = False


class Surface(Protocol):
    """A picture in the device's memory as NV12: addresses, and bytes from one row to the next.

    number: of the coded picture that it is. A session's surface is the session's until its next `decode`.
    """

    @property
    def luma(self) -> int:
        """The first byte of luma."""

    @property
    def chroma(self) -> int:
        """The first byte of U and V."""

    @property
    def luma_pitch(self) -> int:
        """From one row of luma to the next."""

    @property
    def chroma_pitch(self) -> int:
        """From one row of U and V to the next."""

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height."""

    @property
    def number(self) -> int:
        """Of the coded picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainSurface:
    """A Surface of which all is known."""

    luma: int
    chroma: int
    luma_pitch: int
    chroma_pitch: int
    size_wh: tuple[int, int]
    number: int = 0


class DecodeSession(Protocol):
    """One stream's decoder on the device."""

    def decode(self, data: bytes, number: int) -> Sequence[Surface]:
        """The pictures that are there now, in the order of showing. Raises SourceError when the decoder failed."""

    def flush(self) -> Sequence[Surface]:
        """The pictures that wait for others behind them; what is decoded next begins anew, with a keyframe."""

    def close(self) -> None:
        """Give the decoder back."""


class GpuLane(Protocol):
    """One thread's way to the device: what is asked of it happens in order, `finish` waits for all."""

    def open_session(self, facts: StreamFacts) -> DecodeSession:
        """May be called by another thread than the lane's; the decoder may exist only after the first `decode`."""

    def copy_rows(self, target: int, target_pitch: int, source: int, source_pitch: int, width: int, rows: int) -> None:
        """Copy a plane on the device: `rows` rows of `width` bytes."""

    def letterbox(self, job: LetterboxJob) -> None:
        """Run the kernel."""

    def fetch(self, target: int, source: int, size: int) -> None:
        """Copy from the device to host memory at `target`."""

    def finish(self) -> None:
        """Wait until everything asked for is done. Raises SourceError when the device failed."""


class GpuDevice(Protocol):
    """One GPU. name: as people know it."""

    name: str

    def lane(self) -> GpuLane:
        """A lane for the calling thread."""

    def lacks(self, facts: StreamFacts) -> str:
        """Why this device decodes no such stream; "" when it does."""

    def allocate(self, size: int) -> int:
        """The address of `size` bytes on the device. Raises SourceError."""

    def free(self, address: int) -> None:
        """Give memory back that nothing reads any more."""

    def put(self, target: int, source: int, size: int) -> None:
        """Copy host memory at `source` to the device, and wait. For the thread of a lane."""

    def open_region(self, name: str) -> int:
        """The address here of memory that another process shares. Raises SourceError."""

    def close_region(self, address: int) -> None:
        """Let go of it."""
