"""Annotated pictures and videos on disk."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame

from photofinish.client.detect.naming import ELSEWHERE
from photofinish.client.sources.decoding import reason_from_error
from photofinish.client.sources.live import quiet_capture
from photofinish.errors import ConfigError
from photofinish.letterbox import letterboxed_from_image
from photofinish.machine.disk import reason_if_full, why_not_written

TICKS_PER_S = 60_000
"""The unit of the times of a saved video: exact for the usual rates, and MPEG-4 part 2 takes no finer one."""
_ENCODERS = (("libx264", {"preset": "veryfast", "crf": "20"}), ("mpeg4", {"q": "4"}))
_LIVE = {"libx264": {"preset": "superfast", "crf": "25", "tune": "zerolatency", "threads": "1"}}
"""For many films at once: little time and memory for each, on one thread."""


class Write(Protocol):
    """Appends a picture to a video; presented_ns says when it is shown, without it one follows the other."""

    def __call__(self, image_hwc_bgr: npt.NDArray[np.uint8], presented_ns: int | None = None) -> None:
        """Append it. Raises ConfigError when the file cannot be written."""


def save_picture(image_hwc_bgr: npt.NDArray[np.uint8], path: Path) -> None:
    """Write one picture into a file that was claimed for it; ConfigError, and no file, when that is impossible."""
    quiet_capture()
    try:
        is_coded, content = cv2.imencode(path.suffix, image_hwc_bgr)
    except cv2.error as exc:
        raise ConfigError(f"{path} cannot be written: {exc.err or exc}") from exc
    if not is_coded:
        raise ConfigError(f"{path} cannot be written as {path.suffix}")
    try:
        path.write_bytes(content.tobytes())
    except OSError as exc:
        with contextlib.suppress(OSError):
            path.unlink()  # half a picture
        raise ConfigError(why_not_written(path, exc, ELSEWHERE)) from exc


@contextlib.contextmanager
def video_writer(
    path: Path, size_wh: tuple[int, int], frames_per_s: float, *, is_live: bool = False
) -> Iterator[Write]:
    """A function that appends a picture to an MP4 file, which is complete when the block ends.

    H.264 where PyAV has libx264, since browsers play nothing else; MPEG-4 part 2 otherwise. Pictures of another size
    are letterboxed into the first size. frames_per_s: for pictures without a time, and for the end of the last one.
    is_live: encoded with less work, and closed without writing the file a second time.
    """
    even_wh = (size_wh[0] // 2 * 2, size_wh[1] // 2 * 2)
    if min(even_wh) < 2:
        raise ConfigError(f"a video needs at least 2 x 2 pixels, got {size_wh}")
    with _translated(path):
        container = av.open(f"file:{path}", "w", format="mp4", options={} if is_live else {"movflags": "+faststart"})
    times = _Ticks(frames_per_s)
    try:
        stream = _add_stream(container, even_wh, frames_per_s, is_live)

        def write(image_hwc_bgr: npt.NDArray[np.uint8], presented_ns: int | None = None) -> None:
            height, width = image_hwc_bgr.shape[:2]
            if (width, height) == size_wh:
                image = image_hwc_bgr[: even_wh[1], : even_wh[0]]
            else:
                image = letterboxed_from_image(image_hwc_bgr, even_wh)[0]
            frame = VideoFrame.from_ndarray(np.ascontiguousarray(image), format="bgr24")
            frame.pts, frame.duration = times.next(presented_ns), times.interval
            frame.time_base = Fraction(1, TICKS_PER_S)
            with _translated(path):
                container.mux(stream.encode(frame))

        yield write
    finally:
        with _translated(path):
            try:
                container.mux(stream.encode(None))
            finally:
                container.close()


class _Ticks:
    """The times of a saved video, from its first picture on, in its own unit; they always grow."""

    def __init__(self, frames_per_s: float) -> None:
        self.interval = max(round(TICKS_PER_S / frames_per_s), 1)
        self._begun_ns: int | None = None
        self._last: int | None = None

    def next(self, presented_ns: int | None) -> int:
        if presented_ns is None:
            due = 0 if self._last is None else self._last + self.interval
        else:
            if self._begun_ns is None:
                self._begun_ns = presented_ns
            due = round((presented_ns - self._begun_ns) * TICKS_PER_S / 10**9)
        self._last = due if self._last is None else max(due, self._last + 1)
        return self._last


def _add_stream(container: Any, size_wh: tuple[int, int], frames_per_s: float, is_live: bool) -> Any:
    name, options = next((item for item in _ENCODERS if item[0] in av.codecs_available), _ENCODERS[-1])
    if is_live:
        options = _LIVE.get(name, options)
    rate = Fraction(frames_per_s).limit_denominator(1001)
    stream = container.add_stream(name, rate=rate, options=options)
    stream.width, stream.height = size_wh
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = Fraction(1, TICKS_PER_S)
    return stream


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    """FFmpeg's errors as ours."""
    try:
        yield
    except (av.FFmpegError, OSError, ValueError) as exc:
        if reason_if_full(exc):
            why = why_not_written(path, exc, ELSEWHERE)
            raise ConfigError(f"{why}; the video that was begun lacks its index, and no player opens it") from exc
        raise ConfigError(f"{path} cannot be written as a video: {reason_from_error(exc)}") from exc
