"""Text on pictures, in English and Chinese, with letters of our own: nothing depends on the fonts of a machine."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Weight = Literal["Medium", "Black"]
Anchor = Literal["left", "middle", "right"]
Colour = tuple[int, int, int]
"""Blue, green, red."""
FONTS = Path(__file__).resolve().parent / "fonts"
_CLOSING, _OPENING = "，。；：、！？）」』》】", "（「『《【"
_PARTS = re.compile(
    rf"[{_OPENING}]*(?:[\u3000-\u9fff\uff00-\uffef]|[^\s\u3000-\u9fff\uff00-\uffef]+)[{_CLOSING}]*\s*|\s+"
)
"""What a line may be broken between: words, and Chinese letters; none begins with a closing mark or ends with an
opening one, as Chinese is set."""
SMALLEST_PX = 8
UNKNOWN = "?"
"""What stands for a letter that our fonts lack, as in a file's name."""


@lru_cache
def _font(weight: Weight, size_px: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(FONTS / f"NotoSansSC-{weight}.ttf", size_px, layout_engine=ImageFont.Layout.BASIC)


@lru_cache
def known_letters(weight: Weight) -> frozenset[str]:
    """Every letter that our font of that weight can draw."""
    return frozenset((FONTS / f"NotoSansSC-{weight}.txt").read_text(encoding="utf-8")) - {"\n"}


@lru_cache(maxsize=1024)
def _mask(text: str, weight: Weight, size_px: int) -> tuple[npt.NDArray[np.float32], int, int]:
    """How much each pixel is covered, 0 to 1: (height, width) float32; and where its corner lies from the pen's start
    on the base line."""
    font = _font(weight, size_px)
    left, top, right, bottom = (round(side) for side in font.getbbox(text, anchor="ls"))
    image = Image.new("L", (max(right - left, 1), max(bottom - top, 1)))
    ImageDraw.Draw(image).text((-left, -top), text, fill=255, font=font, anchor="ls")
    return np.asarray(image, np.float32) / np.float32(255), left, top


def drawable(text: str, weight: Weight = "Medium") -> str:
    """The text with UNKNOWN for every letter that our font lacks."""
    letters = known_letters(weight)
    return "".join(letter if letter in letters else UNKNOWN for letter in text)


def text_width(text: str, size_px: float, *, weight: Weight = "Medium") -> int:
    """How wide the text will be, in pixels."""
    return round(_font(weight, max(round(size_px), SMALLEST_PX)).getlength(drawable(text, weight)))


def fitting_size(text: str, size_px: float, width_px: float, *, weight: Weight = "Medium") -> float:
    """The size, at most `size_px`, in which the text is no wider than `width_px`."""
    size = round(size_px)
    while size > SMALLEST_PX and (wide := text_width(text, size, weight=weight)) > width_px:
        size = min(int(size * width_px / wide), size - 1)
    return max(min(size_px, size), SMALLEST_PX)


def wrapped(text: str, size_px: float, widths_px: Sequence[float], *, weight: Weight = "Medium") -> list[str]:
    """The text in at most as many lines as there are widths; what does not fit stays in the last one."""
    lines = [""]
    for part in _PARTS.findall(text):
        is_full = text_width((lines[-1] + part).rstrip(), size_px, weight=weight) > widths_px[len(lines) - 1]
        if is_full and lines[-1] and len(lines) < len(widths_px):
            lines.append("")
        lines[-1] += part
    return [line.strip() for line in lines]


def draw_text(
    canvas_hwc_bgr: npt.NDArray[np.uint8],
    text: str,
    at_xy: tuple[float, float],
    size_px: float,
    colour_bgr: Colour,
    *,
    weight: Weight = "Medium",
    anchor: Anchor = "left",
    width_px: float | None = None,
) -> int:
    """Draw the text with its base line through `at_xy`; its width in pixels. What lies outside the canvas is cut.

    anchor: where `at_xy` is of the text. width_px: made smaller where it would be wider.
    """
    if not text:
        return 0
    size = size_px if width_px is None else fitting_size(text, size_px, width_px, weight=weight)
    pixels = max(round(size), SMALLEST_PX)
    cover, left, top = _mask(drawable(text, weight), weight, pixels)
    width = text_width(text, pixels, weight=weight)
    start = at_xy[0] - {"left": 0.0, "middle": width / 2, "right": float(width)}[anchor]
    _blend(canvas_hwc_bgr, cover, round(start) + left, round(at_xy[1]) + top, colour_bgr)
    return width


def _blend(canvas: npt.NDArray[np.uint8], cover: npt.NDArray[np.float32], x: int, y: int, colour_bgr: Colour) -> None:
    height, width = canvas.shape[:2]
    left, top = max(x, 0), max(y, 0)
    right, bottom = min(x + cover.shape[1], width), min(y + cover.shape[0], height)
    if left >= right or top >= bottom:
        return
    share = cover[top - y : bottom - y, left - x : right - x, None]
    region = canvas[top:bottom, left:right]
    region[...] = (region + (np.array(colour_bgr, np.float32) - region) * share + 0.5).astype(np.uint8)
