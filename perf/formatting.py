"""Numbers for people: three significant digits, the unit in the header, a dash for what was not measured."""

from __future__ import annotations

import math

from photofinish.perf.record.samples import NS_PER_MS
from photofinish.perf.statistics import Interval

MISSING = "–"
_MINUS = "\N{MINUS SIGN}"


def number(value: float | None) -> str:
    """Three significant digits without an exponent: 0.0123, 1.23, 12.3, 123, 1230."""
    if value is None or math.isnan(value):
        return MISSING
    if value == 0:
        return "0"
    rounded = float(f"{value:.3g}")
    decimals = max(0, 2 - math.floor(math.log10(abs(rounded))))
    return f"{rounded:.{min(decimals, 9)}f}"


def tick_label(value: float) -> str:
    """A round number on an axis, without zeros that say nothing: 0.5, 2, 20."""
    return f"{value:.6g}"


def milliseconds(value_ns: float | None) -> str:
    """Nanoseconds as milliseconds."""
    return number(None if value_ns is None else value_ns / NS_PER_MS)


def mebibytes(value_bytes: float | None) -> str:
    """Bytes as MiB."""
    return number(None if value_bytes is None else value_bytes / 2**20)


def times(value: float | None) -> str:
    """A ratio with its sign: 3.12×."""
    return MISSING if value is None else f"{number(value)}×"


class RangedText(str):
    """A figure and the interval behind it, `2.10× [1.95, 2.24]`; a page sets the interval fainter."""

    figure: str
    span: str

    def __new__(cls, figure: str, interval: Interval) -> RangedText:
        """The whole text; its two parts stay beside it."""
        span = f"[{number(interval.low)}, {number(interval.high)}]"
        made = super().__new__(cls, f"{figure} {span}")
        made.figure, made.span = figure, span
        return made


class VoidText(str):
    """A gain that nobody may claim, in brackets: `(4.01×)`; a page sets it grey."""


def interval_text(interval: Interval | None) -> str:
    """A ratio with its interval, or only the ratio when there were no rounds to draw one from."""
    if interval is None:
        return MISSING
    if interval.low == interval.high:
        return times(interval.estimate)
    return RangedText(times(interval.estimate), interval)


def plain_interval(interval: Interval) -> str:
    """A value with its interval."""
    if interval.low == interval.high:
        return number(interval.estimate)
    return RangedText(number(interval.estimate), interval)


def signed_ms(value_ns: float | None) -> str:
    """Milliseconds with a sign: what was bought is positive."""
    if value_ns is None:
        return MISSING
    return f"{'+' if value_ns >= 0 else '-'}{milliseconds(abs(value_ns))}"


def signed(value: float, *, decimals: int) -> str:
    """A difference with its sign, a true minus where it is negative: +0.0002."""
    return f"{value:+.{decimals}f}".replace("-", _MINUS)


def signed_percent(ratio: float) -> str:
    """By which share a ratio differs from 1: +16 %."""
    return f"{signed(100 * (ratio - 1), decimals=0)} %"
