"""Network streams as sources."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import av

from photofinish.address.credentials import HOW_TO_GIVE, what_to_check
from photofinish.address.hiding import public_address
from photofinish.client.sources.decoding import Decoder, VideoPicture, reason_from_error
from photofinish.client.sources.presentation import Clock
from photofinish.client.sources.source import Source
from photofinish.errors import SourceError
from photofinish.frame import Frame

OPEN_TIMEOUT_S = READ_TIMEOUT_S = 5.0
NO_PICTURE_S = 10.0
"""A stream that sends data of which no picture can be made counts as broken after so long."""
DRIFT_NS = 5_000_000_000
"""A stream whose time stamps and our clock differ by more has stamps that are not those of its camera: arrival counts.

Servers send a group of pictures at once when a stream begins, so that less would be too little.
"""
RECONNECT_DELAYS_S = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Waits between attempts to reach a stream that broke: a camera that restarts is back within these 15 s."""
_OPTIONS = {
    "rtsp": {"rtsp_flags": "prefer_tcp"},
    "http": {"reconnect": "1", "reconnect_delay_max": "2"},
}
"""By the beginning of the address. RTSP over UDP loses packets, and is asked for only where TCP is refused."""


def open_network_decoder(url: str) -> Decoder:
    """A decoder on a stream or a recording behind an address. Raises SourceError, which names no password."""
    name = public_address(url)
    scheme = url.partition("://")[0].lower()
    options = next((found for kind, found in _OPTIONS.items() if scheme.startswith(kind)), {})
    begun_s = time.monotonic()
    try:
        return Decoder(url, name, options=options, timeouts_s=(OPEN_TIMEOUT_S, READ_TIMEOUT_S), low_delay=True)
    except (av.FFmpegError, OSError, ValueError) as exc:
        waited_s = time.monotonic() - begun_s
        raise SourceError(
            _why_not_open(url, exc, waited_s)
        ) from None  # the library's error holds the address with its password


def is_recording(decoder: Decoder) -> bool:
    """Whether what was opened behind an http address ends: its duration is known, or it is one file of known size."""
    return decoder.duration_s is not None or (not decoder.is_playlist and decoder.size_bytes is not None)


class StreamSource(Source):
    """A network stream. One that breaks is reached for again, a limited number of times."""

    def __init__(
        self,
        url: str,
        name: str,
        *,
        decoder: Decoder | None = None,
        reconnect_delays_s: tuple[float, ...] = (),
        on_notice: Callable[[str], None] = lambda text: None,
        clock: Clock = time.perf_counter_ns,
    ) -> None:
        """Open at once, unless `decoder` is open already; raises SourceError when nothing is there."""
        self._url = url
        self._lock = threading.Lock()
        self._reconnect_delays_s = reconnect_delays_s
        self._on_notice = on_notice
        self._clock = clock
        self._decoder: Decoder | None = decoder or open_network_decoder(url)
        super().__init__(name, size_wh=self._decoder.size_wh, frames_per_s=self._decoder.frames_per_s, is_live=True)

    def frames(self) -> Iterator[Frame]:
        """Pictures as they come. Raises SourceError when the stream broke and could not be reached again.

        presented_ns follows the stream's own times, and the arrival of its pictures where these are none of a camera's:
        an MJPEG stream says 25 a second whatever its camera sends.
        """
        index = failed_attempts = 0
        presented_ns, by_arrival = -1, False
        begun_ns = opened_ns = None
        while not self.closed.is_set():
            picture = self._next()
            if self.closed.is_set():
                return
            if picture is None:
                failed_attempts = self._reconnect(index, failed_attempts)
                opened_ns = None
                continue
            captured_ns = self._clock()
            begun_ns = captured_ns if begun_ns is None else begun_ns
            arrived_ns = captured_ns - begun_ns
            if opened_ns is None:  # the stream's own times begin anew with every connection
                opened_ns, by_arrival = arrived_ns, not self._has_camera_times()
            stamped_ns = opened_ns + picture.presented_ns
            by_arrival = by_arrival or (abs(stamped_ns - arrived_ns) > DRIFT_NS and not self._comes_in_parts())
            presented_ns = max(arrived_ns if by_arrival else stamped_ns, presented_ns + 1)
            yield Frame(
                image_hwc_bgr=picture.image_hwc_bgr(),
                stream_id=self.name,
                index=index,
                captured_ns=captured_ns,
                presented_ns=presented_ns,
            )
            index, failed_attempts = index + 1, 0

    def close(self) -> None:
        """Close the connection; waits for a read in progress, which is bounded by its timeout."""
        super().close()
        with self._lock:
            self._close_decoder()

    def _next(self) -> VideoPicture | None:
        """The next picture; None when the stream ended or broke."""
        with self._lock:
            if self.closed.is_set() or self._decoder is None:
                return None
            try:
                return self._decoder.next_picture(within_s=NO_PICTURE_S)
            except (av.FFmpegError, OSError):
                return None

    def _has_camera_times(self) -> bool:
        return self._decoder is None or self._decoder.has_times

    def _comes_in_parts(self) -> bool:
        """Of a playlist, which arrive at once and are to be shown one after the other."""
        return self._decoder is not None and self._decoder.is_playlist

    def _close_decoder(self) -> None:
        if self._decoder is not None:
            self._decoder.close()
            self._decoder = None

    def _open_again(self) -> bool:
        with self._lock:
            self._close_decoder()
            if self.closed.is_set():
                return False
            try:
                self._decoder = open_network_decoder(self._url)
            except SourceError:
                return False
            return True

    def _reconnect(self, frames_read: int, failed_attempts: int) -> int:
        """Reach for the stream again; the number of attempts since its last picture, an open stream may give none."""
        attempts = len(self._reconnect_delays_s)
        for attempt in range(failed_attempts + 1, attempts + 1):
            self._on_notice(f"{self.name} stopped after {frames_read} frames; reconnecting ({attempt} of {attempts})")
            if self.closed.wait(self._reconnect_delays_s[attempt - 1]) or self._open_again() or self.closed.is_set():
                return attempt
        tries = f" and could not be reached again in {attempts} attempts" if attempts else ""
        raise SourceError(f"{self.name} stopped after {frames_read} frames{tries}")


def _why_not_open(url: str, exc: BaseException, waited_s: float) -> str:
    begin = f"{public_address(url)} cannot be opened"
    if isinstance(exc, av.HTTPUnauthorizedError | av.HTTPForbiddenError):
        return f"{begin}: it refuses the user and password, or wants some. {HOW_TO_GIVE}"
    if isinstance(exc, av.HTTPNotFoundError):
        return f"{begin}: there is nothing at this path; check the address"
    # Who connects and then says nothing is given up in the middle of an answer, which FFmpeg calls invalid too.
    is_silent = isinstance(exc, av.InvalidDataError) and waited_s >= OPEN_TIMEOUT_S
    if isinstance(exc, av.InvalidDataError) and not is_silent:
        return f"{begin}: what is there is no video; check the address"
    reason = "no answer" if is_silent else reason_from_error(exc)
    return f"{begin} within {OPEN_TIMEOUT_S:.0f} s ({reason}); check {what_to_check(url)}"
