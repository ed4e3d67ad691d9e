"""Coded pictures of one connection to decoded ones, on the CPU, each handed over without waiting for the next."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import cast

import av
from av.codec.context import Flags
from av.packet import Packet
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from photofinish.client.cameras.decode.camera import Decoded
from photofinish.client.cameras.values.access_unit import AccessUnit, StreamInfo
from photofinish.client.sources.converting import BgrConverter
from photofinish.errors import SourceError, reason_from_error

MAX_PIXELS = 40_000_000
"""8K and somewhat more. One spoilt parameter set asks for pictures of 400 MB, a dozen of them."""
MAX_REORDERED = 17
"""H.264 and H.265 hold back sixteen at most."""


class UnitDecoder:
    """Decodes one connection's units in their order. Size and pixel format are those of each picture.

    With reordered pictures (B frames) a unit gives an earlier one's: a picture's pts is the place of its unit, from 0.
    """

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
        context.options = {"max_pixels": str(MAX_PIXELS)}
        context.flags |= Flags.low_delay
        self._context = context
        self._units = 0
        self._had_keyframe = False
        self._drained: Packet[Stream] | None = None

    @property
    def announced_fps(self) -> float | None:
        """What the coded pictures themselves promise; known once one is decoded."""
        rate = self._context.framerate
        return float(rate) if rate else None

    def decode(self, unit: AccessUnit) -> VideoFrame | None:
        """The picture; None when the unit gives none. Raises SourceError when it cannot be decoded."""
        packet = Packet(unit.data)
        packet.pts, self._units = self._units, self._units + 1
        try:
            if self._drained is not None and not unit.is_keyframe:  # which needs that keyframe
                self._context.decode(self._drained)
            self._drained = None
            frames = self._context.decode(packet)
            if not frames and unit.is_keyframe and self._had_keyframe:  # of keyframes alone it would wait for two more
                frames = self._context.decode(None)
                self._context.flush_buffers()
                self._drained = packet
        except (av.FFmpegError, ValueError, MemoryError) as exc:
            reason = exc.strerror if isinstance(exc, av.FFmpegError) and exc.strerror else reason_from_error(exc)
            raise SourceError(f"{self.codec} that cannot be decoded: {reason}") from None
        self._had_keyframe = unit.is_keyframe
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
    """A UnitDecoder whose pictures come with the unit that they were coded in."""

    is_opening = False

    def __init__(self, info: StreamInfo) -> None:
        """Raises SourceError for a coding that this FFmpeg has no decoder for."""
        self._units = UnitDecoder(info)
        self._converter = BgrConverter(threads=1)
        self._waiting: OrderedDict[int, AccessUnit] = OrderedDict()
        self._count = 0

    def decode(self, unit: AccessUnit) -> Decoded[CpuPicture] | None:
        """The picture; None when the unit gives none. Raises SourceError when it cannot be decoded."""
        self._waiting[self._count] = unit
        self._count += 1
        if len(self._waiting) > MAX_REORDERED:
            self._waiting.popitem(last=False)
        frame = self._units.decode(unit)
        if frame is None:
            return None
        found = unit if frame.pts is None else self._waiting.pop(frame.pts, None)
        return None if found is None else Decoded(CpuPicture(frame, self._converter), found)
