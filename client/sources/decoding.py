"""Video from files, recordings on the web and streams: one demuxer and one decoder, FFmpeg's, by PyAV."""

from __future__ import annotations

import re
import shlex
import time
from collections import deque
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.stream import Discard, Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from photofinish.client.sources.converting import BgrConverter
from photofinish.client.sources.presentation import PresentationClock
from photofinish.errors import SourceError

NOMINAL_RATE_PER_S = 30.0
"""Where a container tells no rate."""
LOW_DELAY_PIXELS = 1920 * 1088
"""Up to this size one core decodes a camera in time; several cores hand pictures over late."""
_INDEXED = ("mov,mp4,m4a,3gp,3g2,mj2", "avi")
"""Containers whose index names every picture."""
_TEXT_AS_VIDEO = ("tty", "bin", "xbin", "adf", "idf")
"""FFmpeg draws the letters of any text file."""
_NO_TIMES = 0x0080
"""AVFMT_NOTIMESTAMPS: FFmpeg makes the time stamps up, from a rate that it makes up as well."""
_TIMES_MAY_JUMP = 0x0200
"""AVFMT_TS_DISCONT: FFmpeg's own mark of formats whose time stamps jump."""
_JUMP_NS, _LONGEST_STEP_NS = 10_000_000_000, 3_600_000_000_000


class VideoPicture:
    """One decoded picture. presented_ns: when its video shows it, from the first picture on."""

    def __init__(self, frame: VideoFrame, presented_ns: int, decoder: Decoder) -> None:
        self.presented_ns = presented_ns
        self._frame = frame
        self._decoder = decoder

    def image_hwc_bgr(self) -> npt.NDArray[np.uint8]:
        """Its pixels (height, width, 3), blue first, turned as the video says. Raises SourceError when impossible."""
        return self._decoder.image_from_frame(self._frame)


class Decoder:
    """Pictures of one video, in the order in which they are shown.

    pictures: given so far; damaged: those of them that the decoder had to mend; undecodable: packets between them that
    gave none; leading: packets before the first keyframe, which need pictures that are not there.
    """

    def __init__(
        self,
        target: str,
        shown: str,
        *,
        options: Mapping[str, str] | None = None,
        timeouts_s: tuple[float, float] | None = None,
        low_delay: bool = False,
    ) -> None:
        """Open `target`, an address or `file:` and a path; `shown` is its name in messages.

        timeouts_s: for opening and for each read. low_delay: hand a picture over before the next ones are decoded.
        Raises SourceError when it holds no video that can be decoded, av.FFmpegError when it cannot be opened.
        """
        self.shown = shown
        self.pictures = self.damaged = self.undecodable = self.leading = 0
        self.failure: BaseException | None = None
        self._container: InputContainer = av.open(
            target, options=dict(options or {}), timeout=timeouts_s, metadata_errors="replace"
        )
        try:
            self._stream = _video_stream(self._container, shown)
            self._stream.thread_type = "SLICE" if low_delay and self._pixels() <= LOW_DELAY_PIXELS else "AUTO"
        except BaseException:
            self._container.close()
            raise
        self._time_base = self._stream.time_base or Fraction(1, 1_000_000)
        may_jump = bool(self._container.format.flags & _TIMES_MAY_JUMP)
        self.clock = PresentationClock(
            interval_ns=round(1e9 / (self.frames_per_s or NOMINAL_RATE_PER_S)),
            max_step_ns=_JUMP_NS if may_jump else _LONGEST_STEP_NS,
        )
        self._converter = BgrConverter()
        self._has_begun = False
        self._ready: deque[VideoFrame] = deque()
        self._packets: Iterator[Any] = self._container.demux(self._stream)

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height as the stream says, before it is turned."""
        return self._stream.codec_context.width, self._stream.codec_context.height

    @property
    def codec(self) -> str:
        """The name of the video's coding, such as h264."""
        return str(self._stream.codec_context.codec.canonical_name)

    @property
    def frames_per_s(self) -> float | None:
        """The mean rate that the container tells, None where it tells none that can be."""
        rate = self._stream.average_rate or self._stream.guessed_rate
        return float(rate) if rate and 0 < rate < 1000 else None

    @property
    def duration_s(self) -> float | None:
        """What the container tells; None for a live stream."""
        return self._container.duration / 1e6 if self._container.duration else None

    @property
    def size_bytes(self) -> int | None:
        """The size of what was opened, None where nobody knows."""
        return size if (size := self._container.size) > 0 else None

    @property
    def format_name(self) -> str:
        """FFmpeg's name of the container."""
        return self._container.format.name

    @property
    def has_times(self) -> bool:
        """Whether its time stamps come with the pictures."""
        return not self._container.format.flags & _NO_TIMES

    @property
    def is_playlist(self) -> bool:
        """Whether it is a list of parts. FFmpeg passes over missing parts, and the size of the list says nothing."""
        return self.format_name in ("hls", "dash")

    @property
    def has_whole_index(self) -> bool:
        """Whether the index was there at the beginning, so that it names what is not in a file that was cut."""
        return self.format_name == _INDEXED[0] and self._stream.frames > 0

    def indexed_pictures(self) -> int | None:
        """How many pictures the container's index names, without those that an edit list leaves out."""
        if self.format_name not in _INDEXED or not (entries := self._stream.index_entries):
            return None
        return sum(not entry.is_discard for entry in entries)

    def next_picture(self, *, within_s: float | None = None) -> VideoPicture | None:
        """The next picture, None at the end and when the packets of `within_s` give none.

        Raises av.FFmpegError when reading breaks.
        """
        until = None if within_s is None else time.monotonic() + within_s
        while not self._ready:
            packet = next(self._packets, None)
            if packet is None or (until is not None and time.monotonic() > until):
                return None
            self._ready.extend(self._frames_of(packet))
        frame = self._ready.popleft()
        self.pictures += 1
        self.damaged += frame.is_corrupt
        return VideoPicture(frame, self.clock.place(self._ns(frame.pts), self._ns(frame.duration or None)), self)

    def image_from_frame(self, frame: VideoFrame) -> npt.NDArray[np.uint8]:
        """A frame's pixels; see VideoPicture."""
        try:
            return self._converter.image_from_frame(frame)
        except (av.FFmpegError, ValueError, MemoryError) as exc:
            reason = reason_from_error(exc)
            raise SourceError(f"{self.shown}: pictures in {frame.format.name} cannot be converted: {reason}") from None

    def next_packet_position(self) -> int | None:
        """Pass over a packet without decoding it: where it lies in the file, 0 where unknown; None at the end."""
        packet = next(self._packets, None)
        return None if packet is None or not packet.size else packet.pos or 0

    def close(self) -> None:
        """Give the file or connection back; a second call does nothing."""
        self._ready.clear()
        self._packets = iter(())
        self._container.close()

    def _ns(self, ticks: int | None) -> int | None:
        return None if ticks is None else ticks * self._time_base.numerator * 10**9 // self._time_base.denominator

    def _pixels(self) -> int:
        width, height = self.size_wh
        return width * height

    def _frames_of(self, packet: Any) -> list[VideoFrame]:
        is_end = packet.pts is None and packet.dts is None
        if packet.size == 0 and not is_end:
            return []  # the picture before it again; as the decoder reads it, the end
        self._has_begun = self._has_begun or packet.is_keyframe
        self.leading += not self._has_begun and not is_end
        try:
            frames: list[VideoFrame] = packet.decode()
        except av.EOFError:
            return []
        except (av.FFmpegError, ValueError) as exc:
            self.failure = exc
            self.undecodable += self.pictures > 0
            return []
        return frames


def reason_from_error(exc: BaseException) -> str:
    """The words of a library's error without the address in it, which may hold a password."""
    if isinstance(exc, av.ExitError):
        return "no answer in time"
    return str(getattr(exc, "strerror", None) or type(exc).__name__)


def _video_stream(container: InputContainer, shown: str) -> VideoStream:
    """The video that a player would show; sound and other videos are not even read."""
    stream = None if container.format.name in _TEXT_AS_VIDEO else container.streams.best("video")
    if stream is None or stream.disposition & Disposition.attached_pic:
        of_video = "text" if container.format.name in _TEXT_AS_VIDEO else "a cover picture"
        kinds = {of_video if item.type == "video" else item.type for item in container.streams}
        raise SourceError(f"{shown} holds no video, only {' and '.join(sorted(kinds)) or 'nothing'}")
    if not isinstance(stream, VideoStream) or stream.codec_context is None:
        raise SourceError(_why_no_decoder(container, shown))
    for other in container.streams:
        if other.index != stream.index:
            other.discard = Discard.all
    return stream


def _why_no_decoder(container: InputContainer, shown: str) -> str:
    """PyAV has no name for what it has no decoder for; FFmpeg's description of the file has."""
    described: Any = container  # its types leave this method out
    level = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)
    try:
        found = re.search(r"Video: (\w+)(?:.*?\((\w{4}) /)?", described.dumps_format())
    finally:
        av.logging.set_level(level)
    codec, tag = found.groups("") if found else ("", "")
    if tag == "encv":
        return f"{shown} is encrypted; give a copy without protection"
    name = codec if codec not in ("", "none") else tag or "a coding without a name"
    return f"{shown} holds video in {name}, which cannot be decoded here; {how_to_convert(shown)}"


def how_to_convert(shown: str) -> str:
    """The command that makes a video that everything decodes."""
    stem = Path(shown).stem or "video"
    words = ["ffmpeg", "-i", shown, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-an", f"{stem}-h264.mp4"]
    return f"convert it: {shlex.join(words)}"
