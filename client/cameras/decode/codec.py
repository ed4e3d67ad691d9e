"""Coded pictures of one connection to decoded ones, on the CPU, each handed over without waiting for the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import av
from av.codec.context import Flags
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from photofinish.client.cameras.decode.camera import Decoded
from photofinish.client.cameras.values.access_unit import AccessUnit, StreamInfo
from photofinish.client.sources.converting import BgrConverter
from photofinish.errors import SourceError, reason_from_error


class UnitDecoder:
    """Decodes one connection's units in their order. Size and pixel format are those of each picture."""

    def __init__(self, info: StreamInfo) -> None:
        """Raises SourceError for a coding that this FFmpeg has no decoder for."""
        self.codec = info.codec
        try:
            context = cast(VideoCodecContext, VideoCodecContext.create(info.codec, "r"))
        except (av.FFmpegError, ValueError) as exc:
            raise SourceError(f"there is no decoder for {info.codec or 'an unnamed coding'} here") from exc
        if info.extradata:
            context.extradata = info.extradata
        if info.size_wh is not None and info.codec == "rawvideo":
            context.width, context.height = info.size_wh
            context.pix_fmt = info.pixel_format
        context.thread_count = 1
        context.flags |= Flags.low_delay
        self._context = context

    @property
    def announced_fps(self) -> float | None:
        """What the coded pictures themselves promise; known once one is decoded."""
        rate = self._context.framerate
        return float(rate) if rate else None

    def decode(self, unit: AccessUnit) -> VideoFrame | None:
        """The picture; None when the unit gives none. Raises SourceError when it cannot be decoded."""
        try:
            frames = self._context.decode(Packet(unit.data))
        except (av.FFmpegError, ValueError, MemoryError) as exc:
            reason = exc.strerror if isinstance(exc, av.FFmpegError) and exc.strerror else reason_from_error(exc)
            raise SourceError(f"{self.codec} that cannot be decoded: {reason}") from None
        frame = frames[-1] if frames else None
        if frame is not None and frame.is_corrupt:
            raise SourceError(f"{self.codec} with parts missing")
        return frame


@dataclass(frozen=True, slots=True)
class CpuPicture:
    """A decoded frame, and what makes an array of it."""

    frame: VideoFrame
    converter: BgrConverter

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height."""
        return self.frame.width, self.frame.height


class CpuDecoder:
    """A UnitDecoder whose pictures come with their unit: on the CPU always the one that was handed over."""

    is_opening = False

    def __init__(self, info: StreamInfo) -> None:
        """Raises SourceError for a coding that this FFmpeg has no decoder for."""
        self._units = UnitDecoder(info)
        self._converter = BgrConverter(threads=1)

    def decode(self, unit: AccessUnit) -> Decoded[CpuPicture] | None:
        """The picture; None when the unit gives none. Raises SourceError when it cannot be decoded."""
        frame = self._units.decode(unit)
        return None if frame is None else Decoded(CpuPicture(frame, self._converter), unit)
