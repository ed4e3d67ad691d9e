"""What the kernel is told of one picture: where it lies, how it is letterboxed, and what its colours mean."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from photofinish.letterbox import PAD_VALUE, Letterbox, letterbox_of

Matrix = Literal["bt601", "bt709"]
PLACE_BITS, GAIN_BITS = 20, 13
_GAINS: dict[Matrix, tuple[int, int, int, int]] = {
    "bt601": (104597, -25675, -53279, 132201),
    "bt709": (117489, -13975, -34925, 138438),
}
"""V to red, U and V to green, U to blue, limited range, in 1 / 2^16 (ITU-R BT.601, BT.709), as FFmpeg rounds them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Colours:
    """How a stream codes colours. is_full_range: luma from 0 to 255, not from 16 to 235."""

    matrix: Matrix = "bt601"
    is_full_range: bool = False


class LetterboxJob(ctypes.Structure):
    """`struct Job` of letterbox.cu, field for field."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("luma", "chroma", "out")),
        *((name, ctypes.c_int) for name in ("luma_pitch", "chroma_pitch")),
        *((name, ctypes.c_int) for name in ("source_width", "source_height", "target_width", "target_height")),
        *((name, ctypes.c_int) for name in ("left", "top", "resized_width", "resized_height")),
        *((name, ctypes.c_int) for name in ("step_x", "step_y", "start_x", "start_y")),
        *((name, ctypes.c_int) for name in ("luma_offset", "luma_gain")),
        *((name, ctypes.c_int) for name in ("v_to_red", "u_to_green", "v_to_green", "u_to_blue", "pad")),
    )


def gains_from_colours(colours: Colours) -> dict[str, int]:
    """luma_offset, and what luma, U and V add to red, green and blue in 1 / 2^13."""
    one = 1 << 16
    chroma = [int(gain * 224 / 255) if colours.is_full_range else gain for gain in _GAINS[colours.matrix]]
    gains = dict(zip(("v_to_red", "u_to_green", "v_to_green", "u_to_blue"), map(_rounded, chroma), strict=True))
    luma = one if colours.is_full_range else one * 255 // 219
    return {"luma_offset": 0 if colours.is_full_range else 16, "luma_gain": _rounded(luma), **gains}


def _rounded(gain: int) -> int:
    """From 1 / 2^16 to 1 / 2^13."""
    return (gain + 4) >> 3


def job_from_picture(
    letterbox: Letterbox,
    colours: Colours,
    *,
    luma: int = 0,
    chroma: int = 0,
    out: int = 0,
    luma_pitch: int = 0,
    chroma_pitch: int = 0,
) -> LetterboxJob:
    """The kernel's argument. luma, chroma and out are addresses; out has room for a target picture of 8-bit RGB."""
    job = LetterboxJob.from_buffer_copy(_of_sizes(letterbox.source_wh, letterbox.target_wh, colours))
    job.luma, job.chroma, job.out = luma, chroma, out
    job.luma_pitch, job.chroma_pitch = luma_pitch, chroma_pitch
    return job


@lru_cache(maxsize=256)
def _of_sizes(source_wh: tuple[int, int], target_wh: tuple[int, int], colours: Colours) -> LetterboxJob:
    """What all pictures of a camera have in common."""
    letterbox = letterbox_of(source_wh, target_wh)
    job = LetterboxJob(pad=PAD_VALUE)
    job.source_width, job.source_height = source_wh
    job.target_width, job.target_height = target_wh
    job.left, job.top = letterbox.offset_xy
    job.resized_width, job.resized_height = letterbox.resized_wh
    job.step_x = _step(job.source_width, job.resized_width)
    job.step_y = _step(job.source_height, job.resized_height)
    job.start_x, job.start_y = (_start(step) for step in (job.step_x, job.step_y))
    for name, value in gains_from_colours(colours).items():
        setattr(job, name, value)
    return job


def _step(source: int, resized: int) -> int:
    return ((source << PLACE_BITS) + resized // 2) // resized


def _start(step: int) -> int:
    """The middle of the first target pixel, in source pixels, counted from the middle of the first of these."""
    return (step - (1 << PLACE_BITS)) // 2
