"""Pictures and video files as sources."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from photofinish.client.sources.source import Clock, ReplaySource
from photofinish.errors import SourceError
from photofinish.pictures import image_from_file

STILLS_PER_S = 30.0
"""Rate at which pictures are played when a pace is asked for."""
MISSING_SHARE = 0.02
"""Share of the announced frames that may be missing: some containers only estimate the number."""


class PictureSource(ReplaySource):
    """One or more picture files."""

    def __init__(
        self,
        name: str,
        paths: tuple[Path, ...],
        *,
        loop: bool = False,
        paced: bool = False,
        clock: Clock = time.perf_counter_ns,
    ) -> None:
        self.paths = paths
        self._position = 0
        first = image_from_file(paths[0])
        super().__init__(
            name,
            clock=clock,
            loop=loop,
            paced=paced,
            size_wh=(first.shape[1], first.shape[0]) if len(paths) == 1 else None,
            frames_per_s=STILLS_PER_S,
            frame_count=len(paths),
        )

    def path_of(self, index: int) -> Path:
        """The file that frame `index` comes from."""
        return self.paths[index % len(self.paths)]

    def rewind(self) -> None:
        """Go back to the first picture."""
        self._position = 0

    def read_image(self) -> npt.NDArray[np.uint8] | None:
        """The next picture, or None after the last."""
        if self._position >= len(self.paths):
            return None
        path = self.paths[self._position]
        self._position += 1
        return image_from_file(path)

    def skip_image(self) -> bool:
        """Pass over one picture; False after the last."""
        if self._position >= len(self.paths):
            return False
        self._position += 1
        return True


def quiet_capture() -> None:
    """Keep OpenCV's and FFmpeg's own complaints off stderr: what matters is in our error."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


class VideoSource(ReplaySource):
    """A video file, decoded on the CPU."""

    def __init__(
        self, path: Path, *, loop: bool = False, paced: bool = False, clock: Clock = time.perf_counter_ns
    ) -> None:
        quiet_capture()
        self.path = path
        self._lock = threading.Lock()
        self._capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            self._capture.release()
            raise SourceError(f"{path} cannot be opened as a video: it is damaged, cut short, or not a video")
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self._announced = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self._read_count = 0
        super().__init__(
            path.name,
            clock=clock,
            loop=loop,
            paced=paced,
            size_wh=(
                int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
                int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
            ),
            frames_per_s=rate if 0 < rate < 1000 else STILLS_PER_S,
            frame_count=self._announced if self._announced > 0 else None,
        )

    def rewind(self) -> None:
        """Open the file again: seeking is not exact in every container."""
        with self._lock:
            if self.closed.is_set():
                return
            self._capture.release()
            self._capture = cv2.VideoCapture(str(self.path), cv2.CAP_FFMPEG)
            self._read_count = 0

    def read_image(self) -> npt.NDArray[np.uint8] | None:
        """The next picture, or None at the end. Raises SourceError when the file ends before it should."""
        with self._lock:
            if self.closed.is_set():
                return None
            found, image = self._capture.read()
        if found:
            self._read_count += 1
            return np.asarray(image, dtype=np.uint8)
        self._require_complete()
        return None

    def skip_image(self) -> bool:
        """Pass over one picture; False at the end."""
        with self._lock:
            found = not self.closed.is_set() and bool(self._capture.grab())
        self._read_count += found
        return found

    def close(self) -> None:
        """Close the file."""
        super().close()
        with self._lock:
            self._capture.release()

    def _require_complete(self) -> None:
        missing = self._announced - self._read_count
        if self._read_count == 0 or missing > max(2, self._announced * MISSING_SHARE):
            raise SourceError(
                f"{self.path} ends after {self._read_count} of {self._announced} frames: it is damaged or cut short"
            )
