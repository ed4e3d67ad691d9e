"""Video files, and recordings behind an http address, as sources."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from pathlib import Path

import av

from photofinish.client.sources.decoding import NOMINAL_RATE_PER_S, Decoder, VideoPicture, how_to_convert
from photofinish.client.sources.presentation import Clock
from photofinish.client.sources.source import ReplaySource
from photofinish.client.sources.wholeness import missing_part
from photofinish.errors import SourceError

MISSING_SHARE = 0.02
"""Share of the pictures that may be missing or damaged before a recording is called damaged."""
COUNTING_S = 1.0
"""How long the pictures of a file without an index may be counted; the rest is estimated from what was counted."""


class VideoSource(ReplaySource):
    """A recording, decoded on the CPU. path: where it lies on this machine, None where it does not."""

    def __init__(
        self,
        name: str,
        open_decoder: Callable[[], Decoder],
        *,
        path: Path | None = None,
        loop: bool = False,
        paced: bool = False,
        on_notice: Callable[[str], None] = lambda text: None,
        clock: Clock = time.perf_counter_ns,
    ) -> None:
        """Open it and decode its first picture; raises SourceError when there is none."""
        self.path = path
        self._shown = str(path or name)
        self._open_decoder = open_decoder
        self._on_notice = on_notice
        self._lock = threading.Lock()
        self._decoder = open_decoder()
        self._first: VideoPicture | None = None
        self._counted: int | None = None
        try:
            self._first = self._next()
            if self._first is None:
                raise SourceError(self._why_nothing())
            height, width = self._first.image_hwc_bgr().shape[:2]
        except BaseException:
            self._decoder.close()
            raise
        rate = self._decoder.frames_per_s
        super().__init__(
            name, clock=clock, loop=loop, paced=paced, size_wh=(width, height), frames_per_s=rate or NOMINAL_RATE_PER_S
        )

    @property
    def frame_count(self) -> int | None:
        """How many pictures to expect: from the index, else counted, else estimated. None for `loop`."""
        if self._loop:
            return None
        with self._lock:  # the index grows while another thread reads, and is gone when the source is closed
            if self._counted is None and not self.closed.is_set():
                self._counted = self._decoder.indexed_pictures() or self._count()
            return self._counted or None

    def rewind(self) -> None:
        """Open it again: seeking is not exact in every container."""
        with self._lock:
            if self.closed.is_set():
                return
            self._decoder.close()
            self._decoder = self._open_decoder()

    def next_picture(self) -> VideoPicture | None:
        """The next picture, None at the end. Raises SourceError when the recording turns out damaged or cut short."""
        with self._lock:
            if self.closed.is_set():
                return None
            picture, self._first = self._first or self._next(), None
            if picture is None:
                self._require_whole()
            return picture

    def end_ns(self) -> int:
        """When the last picture so far ends."""
        return self._decoder.clock.end_ns

    def close(self) -> None:
        """Close it; waits for a read in progress."""
        super().close()
        with self._lock:
            self._decoder.close()

    def _next(self) -> VideoPicture | None:
        try:
            return self._decoder.next_picture()
        except av.FFmpegError as exc:  # unreadable from here on: what follows asks whether that is the end
            self._decoder.failure = exc
            return None

    def _why_nothing(self) -> str:
        if self.path is not None and (missing := missing_part(self.path)):
            return f"{self._shown} cannot be opened as a video: it is cut short, {missing}"
        return (
            f"{self._shown} cannot be opened as a video: it is damaged, or its {self._decoder.codec} cannot be decoded "
            f"here; then {how_to_convert(self._shown)}"
        )

    def _require_whole(self) -> None:
        """Raise SourceError when much of it is missing or damaged; tell when little is."""
        decoder, read = self._decoder, self._decoder.pictures
        indexed = decoder.indexed_pictures()
        lacking = decoder.undecodable if indexed is None else max(indexed - decoder.leading - read, decoder.undecodable)
        if lacking > max(2, (read + lacking) * MISSING_SHARE):
            raise SourceError(f"{self._shown} ends after {read} of {read + lacking} frames: it is damaged or cut short")
        if self.path is not None and not decoder.has_whole_index and (missing := missing_part(self.path)):
            raise SourceError(f"{self._shown} ends after {read} frames: it is cut short, {missing}")
        if decoder.is_playlist and decoder.clock.gaps_ns:
            gaps_s = decoder.clock.gaps_ns / 1e9
            self._on_notice(f"{self.name}: no pictures for {gaps_s:.1f} s of it; parts of its playlist may be missing")
        if lacking or decoder.damaged:
            found = f"{lacking} of {read + lacking} frames are missing and {decoder.damaged} damaged"
            self._on_notice(f"{self.name}: {found} in the file")

    def _count(self) -> int:
        """Packets of the file, for at most COUNTING_S; then as many again as the rest has room for."""
        if self.path is None:
            return round((self._decoder.duration_s or 0) * (self._decoder.frames_per_s or 0))
        until = time.monotonic() + COUNTING_S
        counter = self._open_decoder()
        try:
            count, position = 0, 0
            for packets in itertools.count(1):
                found = counter.next_packet_position()
                if found is None:
                    return count
                count, position = packets, max(found, position)
                if time.monotonic() > until:
                    return round(count * max((counter.size_bytes or 0) / max(position, 1), 1))
            return count
        except av.FFmpegError:
            return count
        finally:
            counter.close()
