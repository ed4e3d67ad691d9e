"""What ingest hands to a decoder: one coded picture with its times, and what its stream is."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

ClockKind = Literal["rtcp", "arrival"]
"""What a capture time comes from. rtcp: the camera's own clock, found sane. arrival: when the picture came here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamInfo:
    """What a connection carries; it may be another after each reconnection.

    codec: FFmpeg's name: h264, hevc, mjpeg, rawvideo …. extradata: what a decoder must know beforehand, b"" where
    the stream repeats it. size_wh, pixel_format: for codings that do not tell, such as rawvideo.
    announced_fps: what the camera promises, None where it does not; never believed.
    """

    codec: str
    extradata: bytes = b""
    size_wh: tuple[int, int] | None = None
    pixel_format: str = ""
    announced_fps: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessUnit:
    """One coded picture, whole.

    data: H.264 and H.265 with start codes (Annex B). is_reference: whether other pictures may need it. connection:
    counts a camera's connections, so that a decoder begins anew with each. captured_ns and arrived_ns:
    perf_counter_ns of this machine (CLOCK_MONOTONIC, the same in all of its processes); clock: what captured_ns is
    from. is_after_loss: packets were lost since the unit before it.
    """

    camera: str
    connection: int
    data: bytes
    captured_ns: int
    arrived_ns: int
    clock: ClockKind
    is_keyframe: bool
    is_reference: bool = True
    is_after_loss: bool = False


def sane_fps(fps: float | None) -> float | None:
    """A promised rate where it can be one: cameras announce 0 and 180000."""
    return fps if fps is not None and 0.01 <= fps <= 480 else None


def unix_less_monotonic_ns() -> int:
    """What to add to perf_counter_ns to have the time of day."""
    return time.time_ns() - time.perf_counter_ns()
