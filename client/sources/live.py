"""Cameras that are plugged in, as sources."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from photofinish.client.sources.presentation import Clock
from photofinish.client.sources.source import Source
from photofinish.errors import SourceError
from photofinish.frame import Frame

CAMERA_LINKS = Path("/dev/v4l/by-id")
"""Names of cameras that stay the same when another one is plugged in."""


class CameraSource(Source):
    """A camera of this machine, read by OpenCV. One that is unplugged ends with an error."""

    def __init__(self, index: int, name: str, *, clock: Clock = time.perf_counter_ns) -> None:
        """Open /dev/video<index> at once; raises SourceError when nothing is there."""
        quiet_capture()
        self._lock = threading.Lock()
        self._clock = clock
        self._capture = cv2.VideoCapture(index)
        if not self._capture.isOpened():
            self._capture.release()
            raise SourceError(_why_not_open(index, name))
        rate = self._capture.get(cv2.CAP_PROP_FPS)
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
        """Pictures as they come. Raises SourceError when the camera gives no more."""
        index, begun_ns = 0, None
        while not self.closed.is_set():
            with self._lock:
                found, image = (False, None) if self.closed.is_set() else self._capture.read()
            if self.closed.is_set():
                return
            if not found:
                raise SourceError(f"{self.name} stopped after {index} frames")
            captured_ns = self._clock()
            begun_ns = captured_ns if begun_ns is None else begun_ns
            yield Frame(
                image_hwc_bgr=np.asarray(image, dtype=np.uint8),
                stream_id=self.name,
                index=index,
                captured_ns=captured_ns,
                presented_ns=captured_ns - begun_ns,
            )
            index += 1

    def close(self) -> None:
        """Give the camera back; waits for a read in progress."""
        super().close()
        with self._lock:
            self._capture.release()


def camera_index(spec: str) -> int | None:
    """The N of /dev/videoN that `0`, `/dev/video0` or a link, such as one of /dev/v4l/by-id, names; None for others."""
    if spec.isascii() and spec.isdigit() and len(spec) <= 3:
        return int(spec)
    path = os.path.realpath(spec) if spec.startswith("/dev/") and "\0" not in spec else spec
    found = re.fullmatch(r"/dev/video(\d{1,3})", path)
    return int(found[1]) if found else None


def cameras_present() -> str:
    """The cameras of this machine for a message."""
    devices = sorted(path.name for path in Path("/dev").glob("video*"))
    links = sorted(str(path) for path in CAMERA_LINKS.glob("*"))
    return ", ".join((*devices, *links)) or "none"


def quiet_capture() -> None:
    """Keep OpenCV's and FFmpeg's own complaints off stderr: what matters is in our error."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def _why_not_open(index: int, name: str) -> str:
    device = Path(f"/dev/video{index}")
    if not device.exists():
        return f"{name} does not exist: no {device}; cameras found: {cameras_present()}"
    return f"{name} cannot be opened: is another program using {device}, or may this user not read it?"
