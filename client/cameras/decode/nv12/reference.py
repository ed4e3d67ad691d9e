"""The kernel's arithmetic in numpy: what its output is compared with, to the byte."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from photofinish.client.cameras.decode.nv12.job import GAIN_BITS, PLACE_BITS, Colours, LetterboxJob, job_from_picture
from photofinish.letterbox import Letterbox

WEIGHT_BITS = 11
Whole = npt.NDArray[np.int64]


def letterboxed_from_nv12(
    luma: npt.NDArray[np.uint8], chroma: npt.NDArray[np.uint8], letterbox: Letterbox, colours: Colours
) -> npt.NDArray[np.uint8]:
    """The picture as RGB (target height, target width, 3) uint8.

    luma: (height, width) uint8; chroma: ((height + 1) // 2, at least width rounded up to even) uint8, U and V in turn.
    Raises ValueError for planes of another size than the letterbox's source.
    """
    width, height = letterbox.source_wh
    if luma.shape != (height, width) or chroma.shape[0] != (height + 1) // 2 or chroma.shape[1] < width + width % 2:
        raise ValueError(f"planes of {width} x {height} expected, got luma {luma.shape} and chroma {chroma.shape}")
    job = job_from_picture(letterbox, colours)
    rgb = _rgb_from_nv12(luma, chroma, job)
    x0, x1, weight_x = _neighbours(job.resized_width, job.step_x, job.start_x, width)
    y0, y1, weight_y = _neighbours(job.resized_height, job.step_y, job.start_y, height)
    across, down = weight_x[None, :, None], weight_y[:, None, None]
    one = 1 << WEIGHT_BITS
    above = rgb[y0][:, x0] * (one - across) + rgb[y0][:, x1] * across
    below = rgb[y1][:, x0] * (one - across) + rgb[y1][:, x1] * across
    blended = (above * (one - down) + below * down + (1 << 2 * WEIGHT_BITS - 1)).astype(np.int64)
    out = np.full((job.target_height, job.target_width, 3), job.pad, np.uint8)
    out[job.top : job.top + job.resized_height, job.left : job.left + job.resized_width] = blended >> 2 * WEIGHT_BITS
    return out


def _rgb_from_nv12(luma: npt.NDArray[np.uint8], chroma: npt.NDArray[np.uint8], job: LetterboxJob) -> Whole:
    """Every source pixel as RGB, each with the U and V of its two by two."""
    height, width = luma.shape
    bright = (luma.astype(np.int64) - job.luma_offset) * job.luma_gain >> GAIN_BITS
    u, v = (_doubled(chroma[:, first::2], height, width) for first in (0, 1))
    sums = (
        bright + (v * job.v_to_red >> GAIN_BITS),
        bright + (u * job.u_to_green >> GAIN_BITS) + (v * job.v_to_green >> GAIN_BITS),
        bright + (u * job.u_to_blue >> GAIN_BITS),
    )
    cut: Whole = np.clip(np.stack(sums, axis=-1), 0, 255)
    return cut


def _doubled(plane: npt.NDArray[np.uint8], height: int, width: int) -> Whole:
    doubled: Whole = plane.astype(np.int64).repeat(2, axis=0).repeat(2, axis=1)[:height, :width] - 128
    return doubled


def _neighbours(count: int, step: int, start: int, source: int) -> tuple[Whole, Whole, Whole]:
    """For each target pixel the two source pixels that it lies between, and the weight of the second in 1 / 2048."""
    place = np.arange(count, dtype=np.int64) * step + start
    first = place >> PLACE_BITS
    weight = (place >> PLACE_BITS - WEIGHT_BITS) & (1 << WEIGHT_BITS) - 1
    weight[(first < 0) | (first >= source - 1)] = 0
    first = np.clip(first, 0, source - 1)
    return first, first + (weight != 0), weight
