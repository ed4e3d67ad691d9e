"""Small pieces of SVG: scales, ticks, axes, legends. Text and lines take the page's own colour."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDE, NARROW = 760, 400
"""A picture's width in its own units, on a page and paper, and on a phone: text keeps its size, lines grow."""
GREY = "#8b919a"
COLOURS = ("#0f766e", "#b45309", "#4338ca", "#be185d", "#0369a1", "#4d7c0f", "#7c2d12", "#6d28d9")
"""The baseline is grey, the others take these in order. All keep 4.5:1 on white."""

Scale = Callable[[float], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """The plotting area inside a picture."""

    left: float
    top: float
    right: float
    bottom: float


def linear(low: float, high: float, start: float, end: float) -> Scale:
    """A linear scale from values to places."""
    span = (high - low) or 1.0
    return lambda value: start + (value - low) / span * (end - start)


def logarithmic(low: float, high: float, start: float, end: float) -> Scale:
    """A logarithmic scale; low and high are positive."""
    inner = linear(math.log(low), math.log(high), start, end)
    return lambda value: inner(math.log(max(value, low * 1e-3)))


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round values within low..high, about `count` of them."""
    span = (high - low) or 1.0
    raw = span / max(count, 1)
    power = 10 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 12) for index in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten within low..high; more of them where these are fewer than three."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7), tuple(1 + index / 10 for index in range(90))):
        ticks = [factor * 10.0**power for power in powers for factor in factors if low <= factor * 10.0**power <= high]
        if 3 <= len(ticks):
            return ticks if len(ticks) <= 8 else ticks[:: math.ceil(len(ticks) / 8)]
    return [low, high]


def picture(height: float, title: str, parts: Sequence[str], width: int = WIDE) -> str:
    """A whole SVG element; `title` is what a screen reader says."""
    body = "\n".join(parts)
    return (
        f'<svg viewBox="0 0 {width} {_number(height)}" role="img" xmlns="http://www.w3.org/2000/svg" '
        f'font-family="inherit" font-size="12.5" fill="currentColor">\n<title>{escape(title)}</title>\n{body}\n</svg>'
    )


def text(x: float, y: float, content: str, *, anchor: str = "start", size: float = 0, bold: bool = False,
         faint: bool = False, colour: str = "") -> str:  # fmt: skip
    """A line of text."""
    style = f' font-size="{size:g}"' if size else ""
    style += ' font-weight="600"' if bold else ""
    style += ' opacity="0.65"' if faint else ""
    style += f' fill="{colour}"' if colour else ""
    return f'<text x="{_number(x)}" y="{_number(y)}" text-anchor="{anchor}"{style}>{escape(content)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, *, colour: str = "currentColor", width: float = 1,
         opacity: float = 1, dashes: str = "") -> str:  # fmt: skip
    """A straight line."""
    dash = f' stroke-dasharray="{dashes}"' if dashes else ""
    return (
        f'<line x1="{_number(x1)}" y1="{_number(y1)}" x2="{_number(x2)}" y2="{_number(y2)}" stroke="{colour}" '
        f'stroke-width="{width:g}" opacity="{opacity:g}"{dash}/>'
    )


def rectangle(x: float, y: float, width: float, height: float, colour: str, *, opacity: float = 1) -> str:
    """A filled rectangle with slightly rounded corners."""
    return (
        f'<rect x="{_number(x)}" y="{_number(y)}" width="{_number(max(width, 0.5))}" height="{_number(height)}" '
        f'fill="{colour}" opacity="{opacity:g}" rx="1.5"/>'
    )


def polyline(points: Sequence[tuple[float, float]], colour: str, *, width: float = 2, dashes: str = "") -> str:
    """A line through points."""
    dash = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'<polyline points="{_points(points)}" fill="none" stroke="{colour}" stroke-width="{width:g}"{dash}/>'


def polygon(points: Sequence[tuple[float, float]], colour: str, *, opacity: float) -> str:
    """A filled area."""
    return f'<polygon points="{_points(points)}" fill="{colour}" opacity="{opacity:g}"/>'


def dot(x: float, y: float, colour: str, *, radius: float = 3) -> str:
    """A filled circle."""
    return f'<circle cx="{_number(x)}" cy="{_number(y)}" r="{radius:g}" fill="{colour}"/>'


def x_axis(area: Area, scale: Scale, ticks: Sequence[float], labels: Sequence[str], title: str) -> list[str]:
    """A baseline with ticks below it and its title."""
    parts = [line(area.left, area.bottom, area.right, area.bottom, opacity=0.5)]
    for value, label in zip(ticks, labels, strict=True):
        parts.append(line(scale(value), area.bottom, scale(value), area.bottom + 4, opacity=0.5))
        parts.append(text(scale(value), area.bottom + 18, label, anchor="middle", faint=True))
    parts.append(text((area.left + area.right) / 2, area.bottom + 36, title, anchor="middle", faint=True))
    return parts


def y_axis(area: Area, scale: Scale, ticks: Sequence[float], labels: Sequence[str], title: str) -> list[str]:
    """Faint horizontal lines with labels at the left, and the title above."""
    parts = [text(0, area.top - 10, title, faint=True)]
    for value, label in zip(ticks, labels, strict=True):
        parts.append(line(area.left, scale(value), area.right, scale(value), opacity=0.12))
        parts.append(text(area.left - 6, scale(value) + 4, label, anchor="end", faint=True))
    return parts


def legend(top: float, entries: Sequence[tuple[str, str]], width: int = WIDE) -> tuple[list[str], float]:
    """Colour and label of every entry, in as many lines as they need; and the height they take."""
    parts: list[str] = []
    x, y = 0.0, top
    for colour, label in entries:
        needed = 24 + text_width(label)
        if x and x + needed > width:
            x, y = 0.0, y + 20
        parts += [rectangle(x, y - 10, 11, 11, colour), text(x + 16, y, label)]
        x += needed + 12
    return parts, y - top + 20


def text_width(content: str) -> float:
    """About how wide a text is; Chinese characters take a full em."""
    return sum(12.5 if ord(letter) > 0x2E80 else 8.8 if letter.isupper() else 7.0 for letter in content)


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{_number(x)},{_number(y)}" for x, y in points)


def _number(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")
