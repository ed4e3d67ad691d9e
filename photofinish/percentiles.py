"""Percentiles, and how many samples each needs before it is told."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.int64] | npt.NDArray[np.float64]

PERCENTILE_CONFIDENCE = 0.99
"""How sure the sample-size rule is, as in MLPerf LoadGen's early stopping."""
_SPARE_SAMPLES = 1
"""Samples above the percentile that the rule may leave out, so that the bound is never the maximum itself."""
_TOLERANCE = 1e-9


def nearest_rank(values: Values, share: float) -> float:
    """The smallest value that at least `share` (0..1] of all values do not exceed. No interpolation."""
    if not 0 < share <= 1 or not len(values):
        raise ValueError(f"nearest_rank needs values and a share within (0, 1], got {len(values)} values, {share}")
    rank = max(1, math.ceil(share * len(values) - _TOLERANCE))
    return float(np.partition(values, rank - 1)[rank - 1])


def binomial_cdf(successes: int, trials: int, probability: float) -> float:
    """P(X <= successes) for X ~ Binomial(trials, probability), 0 < probability < 1."""
    log_odds = math.log(probability) - math.log1p(-probability)
    log_term = trials * math.log1p(-probability)
    total = math.exp(log_term)
    for count in range(1, min(successes, trials) + 1):
        log_term += math.log((trials - count + 1) / count) + log_odds
        total += math.exp(log_term)
    return min(total, 1.0)


@cache
def min_samples(share: float, confidence: float = PERCENTILE_CONFIDENCE) -> int:
    """How many samples a percentile needs before it is printed: 64 for 0.90, 130 for 0.95, 662 for 0.99.

    MLPerf LoadGen's early-stopping rule: the smallest n for which the second-largest of n samples lies at or above the
    true percentile with this confidence, P(Binomial(n, 1 - share) <= 1) <= 1 - confidence.
    """
    if not 0 < share < 1 or not 0 < confidence < 1:
        raise ValueError(f"share and confidence must lie within (0, 1), got {share} and {confidence}")

    def carries(count: int) -> bool:
        return binomial_cdf(_SPARE_SAMPLES, count, 1 - share) <= 1 - confidence + _TOLERANCE

    high = 2
    while not carries(high):
        high *= 2
    low = high // 2
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if carries(middle) else (middle + 1, high)
    return low


def missing_samples(count: int, share: float) -> int:
    """How many samples more than `count` the percentile needs; 0 when it can be told.

    The median needs one value only: the rule is about tails.
    """
    return max((min_samples(share) if share > 0.5 else 1) - count, 0)


def carried_percentile(values: Values, share: float) -> float | None:
    """The nearest-rank percentile, or None where the sample is too small for it."""
    return None if missing_samples(len(values), share) else nearest_rank(values, share)


class DurationHistogram:
    """Any number of durations in 17 kB: percentiles off by RELATIVE_ERROR at most, for runs that never end.

    For a summary line; reports keep their samples, and the rule of how many each percentile needs.
    """

    RELATIVE_ERROR = 0.005
    SHORTEST_NS, LONGEST_NS = 1_000, 1_000_000_000_000

    def __init__(self) -> None:
        self._step = math.log((1 + self.RELATIVE_ERROR) / (1 - self.RELATIVE_ERROR))
        size = math.ceil(math.log(self.LONGEST_NS / self.SHORTEST_NS) / self._step) + 1
        self._counts = np.zeros(size, dtype=np.int64)

    def add(self, duration_ns: int) -> None:
        """Count one; what lies outside 1 µs to 1,000 s counts as the nearer of these."""
        held_ns = min(max(duration_ns, self.SHORTEST_NS), self.LONGEST_NS)
        self._counts[int(math.log(held_ns / self.SHORTEST_NS) / self._step)] += 1

    @property
    def count(self) -> int:
        """How many were added."""
        return int(self._counts.sum())

    def percentile_ns(self, share: float) -> int:
        """The nearest-rank percentile, within RELATIVE_ERROR of the exact one. ValueError without a duration."""
        count = self.count
        if not 0 < share <= 1 or not count:
            raise ValueError(f"a percentile needs durations and a share within (0, 1], got {count}, {share}")
        rank = max(1, math.ceil(share * count - _TOLERANCE))
        index = int(np.searchsorted(self._counts.cumsum(), rank))
        return round(self.SHORTEST_NS * math.exp(index * self._step) * (1 + self.RELATIVE_ERROR))
