"""Annotated pictures and videos on disk."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from photofinish.client.sources.live import quiet_capture
from photofinish.errors import ConfigError
from photofinish.letterbox import letterboxed_from_image

Write = Callable[[npt.NDArray[np.uint8]], None]
FINISH_TIMEOUT_S = 60.0
"""How long ffmpeg may take to finish a file."""


def make_folder(folder: Path) -> None:
    """Make a folder and its parents; ConfigError when that is impossible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise ConfigError(f"{folder} cannot be made: {exc.strerror}; give another --save folder") from exc


def file_stem(name: str) -> str:
    """A file name without suffix from any source's name: `rtsp://host/cam 1` becomes `rtsp_host_cam_1`."""
    path = Path(name)
    stem = path.stem if path.suffix.lower() in (".mp4", ".mkv", ".avi", ".mov", ".webm", ".ts") else name
    return re.sub(r"[^A-Za-z0-9.-]+", "_", stem).strip("_") or "video"


def save_picture(image_hwc_bgr: npt.NDArray[np.uint8], path: Path, *, original: Path) -> None:
    """Write one picture. Refuses to write over the original."""
    if path.resolve() == original.resolve():
        raise ConfigError(f"saving to {path} would write over the original; give another --save folder")
    if not cv2.imwrite(str(path), image_hwc_bgr):
        raise ConfigError(f"{path} cannot be written; is the disk full?")


@contextlib.contextmanager
def video_writer(path: Path, size_wh: tuple[int, int], frames_per_s: float) -> Iterator[Write]:
    """A function that appends a picture to an MP4 file, which is complete when the block ends.

    H.264 where an ffmpeg with libx264 is on PATH, since browsers play nothing else; MPEG-4 part 2 by OpenCV otherwise.
    Pictures of another size are letterboxed into the first size.
    """
    even_wh = (size_wh[0] // 2 * 2, size_wh[1] // 2 * 2)
    if min(even_wh) < 2:
        raise ConfigError(f"a video needs at least 2 x 2 pixels, got {size_wh}")
    opener = _ffmpeg_writer if _has_libx264() else _opencv_writer
    with opener(path, even_wh, frames_per_s) as append:

        def write(image_hwc_bgr: npt.NDArray[np.uint8]) -> None:
            height, width = image_hwc_bgr.shape[:2]
            if (width, height) == size_wh:
                append(image_hwc_bgr[: even_wh[1], : even_wh[0]])
            else:
                append(letterboxed_from_image(image_hwc_bgr, even_wh)[0])

        yield write


def _has_libx264() -> bool:
    program = shutil.which("ffmpeg")
    if program is None:
        return False
    listing = subprocess.run([program, "-hide_banner", "-encoders"], capture_output=True, text=True, timeout=20)
    return " libx264 " in listing.stdout


@contextlib.contextmanager
def _ffmpeg_writer(path: Path, size_wh: tuple[int, int], frames_per_s: float) -> Iterator[Write]:
    command = ["ffmpeg", "-hide_banner", "-loglevel", "error", "-y", "-f", "rawvideo", "-pix_fmt", "bgr24"]
    command += ["-video_size", f"{size_wh[0]}x{size_wh[1]}", "-framerate", f"{frames_per_s:.6f}", "-i", "pipe:0"]
    command += ["-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-pix_fmt", "yuv420p"]
    command += ["-movflags", "+faststart", str(path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    if process.stdin is None or process.stderr is None:
        raise ConfigError("ffmpeg was started without pipes")
    pipe = process.stdin

    def append(image_hwc_bgr: npt.NDArray[np.uint8]) -> None:
        with contextlib.suppress(BrokenPipeError):  # ffmpeg's own words follow below
            pipe.write(np.ascontiguousarray(image_hwc_bgr).data)
        if process.poll() is not None:
            raise ConfigError(f"ffmpeg stopped writing {path}")

    try:
        yield append
    except ConfigError as exc:
        raise ConfigError(f"{exc}: {process.stderr.read().decode(errors='replace').strip()[-300:]}") from exc
    finally:
        with contextlib.suppress(BrokenPipeError):
            pipe.close()
        try:
            process.wait(FINISH_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stderr.close()
    if process.returncode != 0:
        raise ConfigError(f"{path} cannot be written: ffmpeg ended with code {process.returncode}")


@contextlib.contextmanager
def _opencv_writer(path: Path, size_wh: tuple[int, int], frames_per_s: float) -> Iterator[Write]:
    quiet_capture()
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), frames_per_s, size_wh)
    try:
        if not writer.isOpened():
            raise ConfigError(f"{path} cannot be written as MP4; is the folder writable?")

        def append(image_hwc_bgr: npt.NDArray[np.uint8]) -> None:
            writer.write(np.ascontiguousarray(image_hwc_bgr))

        yield append
    finally:
        writer.release()
