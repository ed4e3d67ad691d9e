"""Four speed-ups that are not the same thing: the engine alone, the server, the transport, and end to end.

Most projects print the first and mean the last. All four come from one comparison: the client's own stages, and what
Triton counted in the same blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from photofinish.perf.judge.summary import ArmSummary, gain_between
from photofinish.perf.record.record import Block, Section
from photofinish.perf.statistics import Interval, ratio_interval, resampled_mean

SpeedUpKind = Literal["engine", "server", "transport", "end_to_end"]
USUALLY_PRINTED: SpeedUpKind = "engine"
"""What a table of `trtexec` or of an exporter shows: no server, no wire, no client."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedUp:
    """One of the four, of the second arm of a comparison against its first. Times are means a request, in microseconds.

    engine: what Triton counts as inference. server: all of its own time, queue and copies included. transport: what is
    left of the client's waiting. end_to_end: from the frame being due to its detections.
    ratio: above 1 is better; interval: None where there were no rounds to draw one from.
    """

    kind: SpeedUpKind
    before_us: float
    after_us: float
    ratio: float
    interval: Interval | None


def speed_ups(section: Section, summaries: Sequence[ArmSummary]) -> tuple[SpeedUp, ...]:
    """The four, those that cannot be told left out: a server may show no counters, a client no stages."""
    if section.kind != "comparison" or section.load.rate_rps or len(summaries) < 2:
        return ()
    before, after = summaries[:2]
    found = [_speed_up(kind, times_us, before, after) for kind, times_us in _TIMES_US.items()]
    gain, old, new = gain_between(before.blocks, after.blocks, "mean"), before.latency["mean"], after.latency["mean"]
    if gain and old and new:
        known = gain if gain.low < gain.high else None
        whole = SpeedUp(
            kind="end_to_end", before_us=old / 1000, after_us=new / 1000, ratio=gain.estimate, interval=known
        )
        found.append(whole)
    return tuple(item for item in found if item is not None)


def _engine_us(block: Block) -> float | None:
    return block.observed.triton.compute_infer_us if block.observed.triton else None


def _server_us(block: Block) -> float | None:
    return block.observed.triton.request_us if block.observed.triton else None


def _transport_us(block: Block) -> float | None:
    waited = block.stages_ns.get("wire")
    if not waited or not block.observed.triton:
        return None
    return float(np.mean(waited)) / 1000 - block.observed.triton.request_us


_TIMES_US: dict[SpeedUpKind, Callable[[Block], float | None]] = {
    "engine": _engine_us,
    "server": _server_us,
    "transport": _transport_us,
}


def _speed_up(
    kind: SpeedUpKind, time_us: Callable[[Block], float | None], before: ArmSummary, after: ArmSummary
) -> SpeedUp | None:
    """From each block's mean, as often as it had requests. None where a side has no such time, or one below 0: the
    server counts the lead-in too, whose first requests are slower."""
    sides: list[list[npt.NDArray[np.float64]]] = []
    for summary in (before, after):
        values = [(time_us(block), block.samples.completed_count) for block in summary.blocks]
        if not values or any(value is None or not count for value, count in values):
            return None
        sides.append([np.full(count, value) for value, count in values])
    means = [float(np.concatenate(side).mean()) for side in sides]
    if min(means) <= 0:
        return None
    interval = None
    if min(map(len, sides)) >= 2 and len(sides[0]) == len(sides[1]) and min(v.min() for s in sides for v in s) > 0:
        interval = ratio_interval(sides[0], sides[1], resampled_mean)
    return SpeedUp(kind=kind, before_us=means[0], after_us=means[1], ratio=means[0] / means[1], interval=interval)
