"""The photo-finish strip: two lanes over time, a line for every frame whose boxes arrived."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from photofinish.client.ui.race.lettering import Colour, draw_text, text_width
from photofinish.client.ui.race.places import RaceBox, TextPlace
from photofinish.client.ui.race.replay import NS_PER_S

GROUND: Colour = (29, 24, 20)
INK: Colour = (246, 244, 242)
SOFT: Colour = (177, 165, 154)
PLATE: Colour = (16, 13, 11)
BEYOND = 1.04
"""The axis goes on behind the last finish by this share, so that its post stands whole."""
MAX_TICKS = 10
_FINE = 4
"""Parts of a column in which lines are placed."""
_LINE_PX = 4.0
_LINE_SHARE = 0.6
"""Of the usual distance of two lines, so that they stay apart as long as they can."""


def column_of(time_ns: float, box: RaceBox, axis_ns: int) -> float:
    """The column at which a time lies."""
    return box.left + time_ns / axis_ns * box.width


def axis_end(duration_ns: int) -> int:
    """The time at the right end of the strip."""
    return max(round(duration_ns * BEYOND), 1)


def draw_lane(
    canvas_hwc_bgr: npt.NDArray[np.uint8],
    box: RaceBox,
    arrivals_ns: npt.NDArray[np.int64],
    axis_ns: int,
    colour_bgr: Colour,
    unit: float,
) -> None:
    """The lane with a line for each of `arrivals_ns`; where they lie closer than columns they become an area."""
    lane = canvas_hwc_bgr[box.top : box.bottom, box.left : box.right]
    lane[...] = GROUND
    if not len(arrivals_ns):
        return
    fine = np.zeros(box.width * _FINE, np.float32)
    spacing = arrivals_ns[-1] / len(arrivals_ns) / axis_ns * len(fine)
    width = max(round(min(_LINE_PX * unit * _FINE, _LINE_SHARE * spacing)), 1)
    ends = np.clip((arrivals_ns / axis_ns * len(fine)).astype(np.int64), 1, len(fine))
    for offset in range(width):
        fine[np.maximum(ends - 1 - offset, 0)] = 1
    cover = fine.reshape(box.width, _FINE).mean(axis=1)[None, :, None]
    margin = max(round(5 * unit), 1)
    inner = lane[margin:-margin]
    inner[...] = (inner + (np.array(colour_bgr, np.float32) - inner) * cover).astype(np.uint8)


def draw_post(canvas_hwc_bgr: npt.NDArray[np.uint8], box: RaceBox) -> None:
    """The chequered finish line."""
    rows, columns = np.indices((box.height, box.width))
    square = max(min(box.width, box.height) // 2, 1)
    light = ((rows // square + columns // square) % 2).astype(bool)
    canvas_hwc_bgr[box.top : box.bottom, box.left : box.right] = np.where(
        light[:, :, None], np.array(INK, np.uint8), np.array(PLATE, np.uint8)
    )


def finish_post(box: RaceBox, finish_ns: int, axis_ns: int, unit: float) -> RaceBox:
    """Where a lane's finish line stands: it begins where the last frame arrived."""
    width = max(round(12 * unit), 2)
    left = min(round(column_of(finish_ns, box, axis_ns)), box.right - width)
    return RaceBox(left=left, top=box.top, width=width, height=box.height)


def draw_gap(
    canvas_hwc_bgr: npt.NDArray[np.uint8], box: RaceBox, begin: int, end: int, text: str, size: float, unit: float
) -> None:
    """An arrow over the winner's empty lane, from its finish to the other's, with the gap on it."""
    middle, thick, head = box.top + box.height // 2, max(round(3 * unit), 1), round(13 * unit)
    if end - begin > 3 * head:
        canvas_hwc_bgr[middle - thick // 2 : middle - thick // 2 + thick, begin + head // 2 : end - head // 2] = INK
        for step in range(head):
            half = max(round(step * 0.55), 1)
            for column in (begin + step, end - 1 - step):
                canvas_hwc_bgr[middle - half : middle + half + 1, column] = INK
    wide, margin = text_width(text, size, weight="Black"), round(16 * unit)
    plate = wide + 2 * margin
    if not text or end - begin < plate + 4 * head:  # no room on the arrow: beside it, where there is any
        left = end + head if end + head + plate <= box.right else max(begin - head - plate, box.left)
    else:
        left = (begin + end - plate) // 2
    if text:
        canvas_hwc_bgr[box.top + 2 : box.bottom - 2, left : left + plate] = GROUND
        base = middle + size * 0.36
        draw_text(canvas_hwc_bgr, text, (left + margin, base), size, INK, weight="Black")


def draw_axis(
    canvas_hwc_bgr: npt.NDArray[np.uint8], box: RaceBox, axis_ns: int, place: TextPlace, second: str, unit: float
) -> None:
    """Seconds under the lanes. second: how their unit is written behind the first one, such as `{} s`."""
    step = tick_step(axis_ns / NS_PER_S, round(box.width / place.width))
    count = int(axis_ns / NS_PER_S / step + 1e-9)
    for number in range(count + 1):
        column = round(column_of(number * step * NS_PER_S, box, axis_ns))
        text = f"{number * step:g}"
        if number == 0:
            draw_text(canvas_hwc_bgr, second.replace("{}", text), (column, place.y), place.size, SOFT)
        elif column + place.width / 2 < box.right:
            draw_text(canvas_hwc_bgr, text, (column, place.y), place.size, SOFT, anchor="middle")
        mark = slice(max(column - max(round(unit), 1), 0), column + max(round(unit), 1))
        canvas_hwc_bgr[box.bottom : box.bottom + round(7 * unit), mark] = SOFT


def tick_step(seconds: float, most: int = MAX_TICKS) -> float:
    """A round step with which at most `most` labels stand on an axis of that many seconds."""
    step = 1e-3
    while True:
        for factor in (1, 2, 5):
            if seconds / (step * factor) <= min(most, MAX_TICKS):
                return round(step * factor, 9)
        step *= 10
