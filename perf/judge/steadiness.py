"""Did an arm's latency change while it was measured, by more than its blocks scatter anyway?"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from photofinish.perf.record.record import Block
from photofinish.perf.statistics import student_t_quantile

DRIFT_CONFIDENCE = 0.95
"""How sure a drift must be, over all arms of a section together, before it counts as one."""
MIN_HALF_SAMPLES = 20


def drift_of(blocks: Sequence[Block], *, families: int = 1) -> float | None:
    """By which share the median of a block changed from the earlier half of the rounds to the later, if it surely did.

    None where a half is too small to tell, or where blocks of one half differ among themselves as much as the halves
    do (Student's t on the logarithms, at DRIFT_CONFIDENCE over all `families` arms together). Without this a machine
    whose blocks scatter by 8 % would show a "drift" of over 10 % in one of ten arms most of the time.
    """
    middle = len(blocks) // 2
    halves = [[block.samples.latency_ns for block in side] for side in (blocks[:middle], blocks[middle:])]
    if middle < 2 or not all(sum(len(values) for values in side) >= MIN_HALF_SAMPLES for side in halves):
        return None
    first, second = (np.log([float(np.median(values)) for values in side if len(values)]) for side in halves)
    degrees = len(first) + len(second) - 2
    if min(len(first), len(second)) < 2:
        return None
    pooled = (np.var(first) * len(first) + np.var(second) * len(second)) / degrees
    error = math.sqrt(pooled * (1 / len(first) + 1 / len(second)))
    change = float(second.mean() - first.mean())
    sure = abs(change) > student_t_quantile(1 - (1 - DRIFT_CONFIDENCE) / (2 * families), degrees) * error
    return math.expm1(change) if sure else None
