"""Cameras and network streams as sources."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from photofinish.address.credentials import what_to_check
from photofinish.address.hiding import public_address
from photofinish.client.sources.recordings import MISSING_SHARE, quiet_capture
from photofinish.client.sources.source import Clock, Source
from photofinish.errors import SourceError
from photofinish.frame import Frame

OPEN_TIMEOUT_MS = 5000
READ_TIMEOUT_MS = 5000
RECONNECT_DELAYS_S = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Waits between attempts to reach a stream that broke: a camera that restarts is back within these 15 s."""


class CaptureSource(Source):
    """A camera or stream that OpenCV reads. Streams that break are reached for again, a limited number of times.

    A recording behind an http address ends where it ends; `loop` begins it again.
    """

    def __init__(
        self,
        target: int | str,
        name: str,
        *,
        loop: bool = False,
        reconnect_delays_s: tuple[float, ...] = (),
        on_notice: Callable[[str], None] = lambda text: None,
        clock: Clock = time.perf_counter_ns,
    ) -> None:
        """Open at once; raises SourceError when nothing is there."""
        quiet_capture()
        self._target = target
        self._lock = threading.Lock()
        self._loop = loop
        self._reconnect_delays_s = reconnect_delays_s
        self._on_notice = on_notice
        self._clock = clock
        self._capture = _open_capture(target)
        if not self._capture.isOpened():
            self._capture.release()
            raise SourceError(_why_not_open(target, name))
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        is_http = isinstance(target, str) and target.lower().startswith("http")
        self._announced = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)) if is_http else 0
        super().__init__(
            name,
            size_wh=(
                int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
                int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
            ),
            frames_per_s=rate if 0 < rate < 1000 else None,
            is_live=True,
        )

    def frames(self) -> Iterator[Frame]:
        """Pictures as they come. Raises SourceError when the stream broke and could not be reached again."""
        index = since_opening = failed_attempts = 0
        while not self.closed.is_set():
            with self._lock:
                found, image = (False, None) if self.closed.is_set() else self._capture.read()
            if found:
                yield Frame(
                    image_hwc_bgr=np.asarray(image, dtype=np.uint8),
                    stream_id=self.name,
                    index=index,
                    captured_ns=self._clock(),
                )
                index, since_opening, failed_attempts = index + 1, since_opening + 1, 0
            elif self.closed.is_set():
                return
            elif self._announced > 0:
                if not self._is_whole(since_opening):
                    raise SourceError(
                        f"{self.name} ends after {since_opening} of {self._announced} frames: it is damaged, or the "
                        "connection broke; download it and give the file"
                    )
                if not self._loop:
                    return
                self._open_again()
                since_opening = 0
            else:
                failed_attempts = self._reconnect(index, failed_attempts)
                since_opening = 0

    def close(self) -> None:
        """Give the camera back; waits for a read in progress, which is bounded by its timeout."""
        super().close()
        with self._lock:
            self._capture.release()

    def _is_whole(self, frames_read: int) -> bool:
        return 0 < frames_read >= self._announced * (1 - MISSING_SHARE) - 2

    def _open_again(self) -> bool:
        with self._lock:
            if self.closed.is_set():
                return False
            self._capture.release()
            self._capture = _open_capture(self._target)
            return bool(self._capture.isOpened())

    def _reconnect(self, frames_read: int, failed_attempts: int) -> int:
        """Reach for the stream again; the number of attempts since its last picture, an open stream may give none."""
        attempts = len(self._reconnect_delays_s)
        for attempt in range(failed_attempts + 1, attempts + 1):
            self._on_notice(f"{self.name} stopped after {frames_read} frames; reconnecting ({attempt} of {attempts})")
            if self.closed.wait(self._reconnect_delays_s[attempt - 1]) or self._open_again() or self.closed.is_set():
                return attempt
        tries = f" and could not be reached again in {attempts} attempts" if attempts else ""
        raise SourceError(f"{self.name} stopped after {frames_read} frames{tries}")


def camera_source(index: int, *, on_notice: Callable[[str], None] = lambda text: None) -> CaptureSource:
    """The camera /dev/video<index>; one that is unplugged ends with an error."""
    return CaptureSource(index, f"camera {index}", on_notice=on_notice)


def stream_source(
    url: str, *, loop: bool = False, on_notice: Callable[[str], None] = lambda text: None
) -> CaptureSource:
    """A network stream. Its name, and so every message, leaves out user and password."""
    return CaptureSource(
        url, public_address(url), loop=loop, reconnect_delays_s=RECONNECT_DELAYS_S, on_notice=on_notice
    )


def _open_capture(target: int | str) -> Any:
    if isinstance(target, int):
        return cv2.VideoCapture(target)
    options = [
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
        OPEN_TIMEOUT_MS,
        cv2.CAP_PROP_READ_TIMEOUT_MSEC,
        READ_TIMEOUT_MS,
    ]
    return cv2.VideoCapture(target, cv2.CAP_FFMPEG, options)


def _why_not_open(target: int | str, name: str) -> str:
    if isinstance(target, int):
        device = Path(f"/dev/video{target}")
        if not device.exists():
            present = ", ".join(sorted(path.name for path in Path("/dev").glob("video*"))) or "none"
            return f"{name} does not exist: no {device}; cameras found: {present}"
        return f"{name} cannot be opened: is another program using {device}, or may this user not read it?"
    return f"{name} cannot be opened within {OPEN_TIMEOUT_MS // 1000} s; check {what_to_check(target)}"
