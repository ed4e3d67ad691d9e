"""A race as a file: an MP4 for a screen, a GIF for a page, the last picture for a slide."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from PIL import Image

from photofinish.client.sources.decoding import reason_from_error
from photofinish.client.ui.race.composing import RaceScreen
from photofinish.client.ui.race.replay import NS_PER_S
from photofinish.errors import ConfigError
from photofinish.machine.disk import why_not_written

VIDEO_FPS = 30
GIF_STEP_MS = 120
"""A GIF counts in hundredths of a second."""
GIF_HEIGHT = 404
GIF_COLOURS = 64
SET_S = 1.0
"""Both sides stand at the start for so long."""
RESULT_S = 4.0
"""The result stands for so long."""
GIF_RESULT_S = 5.0
ELSEWHERE = "choose another place"
_ENCODERS = (("libx264", {"preset": "veryfast", "crf": "24"}), ("mpeg4", {"q": "4"}))

ShareHeard = Callable[[float], None]
"""Hears how much of the work is done, 0 to 1."""


def replay_times(duration_ns: int, step_s: float, *, result_s: float = RESULT_S) -> list[int]:
    """The moment of each picture, in nanoseconds since the start: before it, during the race, after it."""
    first, over = -round(SET_S / step_s), int(duration_ns / NS_PER_S / step_s) + 1
    return [round(number * step_s * NS_PER_S) for number in range(first, over + round(result_s / step_s) + 1)]


def record_video(
    screen: RaceScreen, path: Path, *, preset: str | None = None, on_share: ShareHeard = lambda share: None
) -> None:
    """Write the race as MP4: H.264 where PyAV has libx264, since browsers play nothing else. True pace, 30 a second.

    preset: of libx264, where another than ours. The file is there when it is whole. Raises ConfigError.
    """
    with _written_whole(path) as partial:
        container = av.open(f"file:{partial}", "w", format="mp4", options={"movflags": "+faststart"})
        try:
            stream = _video_stream(container, screen.size_wh, preset)
            times = replay_times(screen.race.duration_ns, 1 / VIDEO_FPS)
            for number, image in enumerate(_pictures(screen, times)):
                frame = VideoFrame.from_ndarray(image, format="bgr24")
                frame.pts, frame.time_base = number, Fraction(1, VIDEO_FPS)
                container.mux(stream.encode(frame))
                on_share((number + 1) / len(times))
            container.mux(stream.encode(None))
        finally:
            container.close()


def record_gif(screen: RaceScreen, path: Path, *, on_share: ShareHeard = lambda share: None) -> None:
    """Write the race as a GIF that begins again and again. True pace. Raises ConfigError."""
    times = replay_times(screen.race.duration_ns, GIF_STEP_MS / 1000, result_s=0)
    palette = _palette(screen)
    frames: list[Image.Image] = []
    for number, image in enumerate(_pictures(screen, times)):
        coloured = Image.fromarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
        frames.append(coloured.quantize(palette=palette, dither=Image.Dither.NONE))
        on_share((number + 1) / len(times))
    durations = [GIF_STEP_MS] * (len(frames) - 1) + [round(1000 * GIF_RESULT_S)]
    with _written_whole(path) as partial:
        frames[0].save(
            partial, format="GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0, optimize=False
        )


def save_still(screen: RaceScreen, path: Path) -> None:
    """Write the last picture as PNG or JPEG. Raises ConfigError."""
    is_coded, content = cv2.imencode(path.suffix, screen.last_picture())
    if not is_coded:
        raise ConfigError(f"{path} cannot be written as {path.suffix}; name it .png or .jpg")
    with _written_whole(path) as partial:
        partial.write_bytes(content.tobytes())


def _pictures(screen: RaceScreen, times: list[int]) -> Iterator[npt.NDArray[np.uint8]]:
    """The picture of each moment; after the end the same one again, drawn once."""
    last: npt.NDArray[np.uint8] | None = None
    for now_ns in times:
        if now_ns < screen.race.duration_ns:
            yield screen.picture(now_ns)
            continue
        last = screen.last_picture() if last is None else last
        yield last


def _palette(screen: RaceScreen) -> Image.Image:
    """One palette for all pictures, so that what stands still costs nothing: from the start, the middle and the end."""
    duration_ns = screen.race.duration_ns
    samples = [screen.picture(now_ns) for now_ns in (-1, screen.race.won_ns // 2, screen.race.won_ns, duration_ns)]
    joined = cv2.cvtColor(np.concatenate(samples, axis=0), cv2.COLOR_BGR2RGB)
    return Image.fromarray(joined).quantize(colors=GIF_COLOURS, method=Image.Quantize.MEDIANCUT)


def _video_stream(container: Any, size_wh: tuple[int, int], preset: str | None) -> Any:
    name, options = next((item for item in _ENCODERS if item[0] in av.codecs_available), _ENCODERS[-1])
    chosen = {**options, "preset": preset} if preset and "preset" in options else options
    stream = container.add_stream(name, rate=VIDEO_FPS, options=chosen)
    stream.width, stream.height = size_wh
    stream.pix_fmt = "yuv420p"
    return stream


@contextlib.contextmanager
def _written_whole(path: Path) -> Iterator[Path]:
    """A name to write to; the file takes its own name when the block has ended well, else nothing is left of it."""
    partial = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(path)
    except (av.FFmpegError, OSError, ValueError) as exc:
        if isinstance(exc, OSError):
            raise ConfigError(why_not_written(path, exc, ELSEWHERE)) from exc
        raise ConfigError(f"{path} cannot be written: {reason_from_error(exc)}") from exc
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()
