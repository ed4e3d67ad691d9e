"""How sure one may be of a speed-up."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from photofinish.percentiles import Values

Counts = npt.NDArray[np.int64]
"""How often each block is taken in each resample: (resamples, blocks)."""
BlockStatistic = Callable[[Sequence[Values], Counts], npt.NDArray[np.float64]]
"""A figure of all values of the blocks together, for every resample."""

_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """An estimate with its confidence interval."""

    estimate: float
    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Whether `value` lies inside, ends included."""
        return self.low <= value <= self.high


@lru_cache(maxsize=256)
def student_t_quantile(probability: float, degrees: int) -> float:
    """The quantile of Student's t with whole degrees of freedom, for a probability within (0.5, 1)."""
    low, high = 0.0, 1e6
    while high - low > 1e-10 * max(1.0, low):
        middle = (low + high) / 2
        low, high = (middle, high) if _student_t_cdf(middle, degrees) < probability else (low, middle)
    return (low + high) / 2


def _student_t_cdf(value: float, degrees: int) -> float:
    # The finite series for whole degrees of freedom: Abramowitz and Stegun, 26.7.3 and 26.7.4.
    theta = math.atan(value / math.sqrt(degrees))
    odd = degrees % 2
    term = math.cos(theta) if odd else 1.0
    total = 0.0
    for power in range(2 + odd, degrees + 1, 2):
        total += term
        term *= math.cos(theta) ** 2 * (power - 1) / power
    central = 2 / math.pi * (theta + math.sin(theta) * total) if odd else math.sin(theta) * total
    return 0.5 + central / 2


def resampled_mean(blocks: Sequence[Values], counts: Counts) -> npt.NDArray[np.float64]:
    """The mean of all values when block b is taken counts[r, b] times, for each resample r: (resamples,)."""
    sums = np.array([float(np.sum(block)) for block in blocks])
    sizes = np.array([len(block) for block in blocks])
    means: npt.NDArray[np.float64] = counts @ sums / (counts @ sizes)
    return means


def resampled_nearest_rank(blocks: Sequence[Values], counts: Counts, *, share: float) -> npt.NDArray[np.float64]:
    """The nearest-rank percentile when block b is taken counts[r, b] times, for each resample r: (resamples,).

    A binary search over the pooled values, all resamples at once: no resample is ever written out.
    """
    ordered = [np.sort(block) for block in blocks]
    pooled = np.sort(np.concatenate(ordered))
    ranks = np.ceil(share * (counts @ np.array([len(block) for block in blocks])) - _TOLERANCE)
    low = np.zeros(len(counts), np.int64)
    high = np.full(len(counts), len(pooled) - 1)
    while np.any(low < high):
        middle = (low + high) // 2
        asked, which = np.unique(middle, return_inverse=True)  # at first all resamples ask the same
        places = np.stack([np.searchsorted(block, pooled[asked], side="right") for block in ordered], axis=1)[which]
        reached = (counts * places).sum(axis=1) >= np.maximum(ranks, 1)
        high = np.where(reached, middle, high)
        low = np.where(reached, low, middle + 1)
    return np.asarray(pooled[low], np.float64)


def ratio_interval(
    numerator_blocks: Sequence[Values],
    denominator_blocks: Sequence[Values],
    statistic: BlockStatistic,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    paired: bool = True,
) -> Interval:
    """statistic(numerator) / statistic(denominator) over all samples, with its block-bootstrap interval.

    Block i of both sides belongs to one round; whole rounds are drawn with replacement, so that drift and the
    correlation inside a block stay in the interval. Unpaired, each side is drawn for itself. The bootstrap gives the
    standard error of the log ratio; Student's t with one degree fewer than there are rounds makes the interval, because
    the bootstrap's own percentiles are too narrow for few rounds (Hesterberg 2015, "What Teachers Should Know about the
    Bootstrap", section 5: t interval with bootstrap standard error). Raises ValueError for a statistic that is not
    positive: it has no ratio.
    """
    sizes = (len(numerator_blocks), len(denominator_blocks))
    if min(sizes) < 2 or (paired and sizes[0] != sizes[1]):
        raise ValueError(f"need at least 2 blocks a side, as many on both when paired, got {sizes[0]} and {sizes[1]}")
    generator = np.random.default_rng(seed)
    above = _drawn_counts(generator, sizes[0], resamples)
    below = above if paired else _drawn_counts(generator, sizes[1], resamples)
    figures = (statistic(numerator_blocks, above), statistic(denominator_blocks, below))
    if not all(np.all(side > 0) for side in figures):
        raise ValueError("a ratio needs positive figures, got 0 or less")
    ratios = figures[0] / figures[1]
    error = float(np.std(np.log(ratios[1:])))
    reach = expansion(min(sizes), level) * error if error > _TOLERANCE else 0.0
    estimate = float(ratios[0])
    return Interval(estimate=estimate, low=estimate * math.exp(-reach), high=estimate * math.exp(reach))


def _drawn_counts(generator: np.random.Generator, blocks: int, resamples: int) -> Counts:
    """How often each block is taken: once each in the first row, the sample itself, then at random."""
    drawn = generator.multinomial(blocks, [1 / blocks] * blocks, size=resamples)
    return np.concatenate([np.ones((1, blocks), drawn.dtype), drawn])


def value_interval(blocks: Sequence[Values], statistic: BlockStatistic) -> Interval:
    """statistic over all samples, with its block-bootstrap interval."""
    return ratio_interval(blocks, [np.ones(len(block)) for block in blocks], statistic)


def expansion(blocks: int, level: float) -> float:
    """How many bootstrap standard errors an interval reaches to each side, for this many blocks.

    Student's t, and sqrt(n / (n - 1)) because the bootstrap divides by n where a standard error divides by n - 1.
    """
    return math.sqrt(blocks / (blocks - 1)) * student_t_quantile((1 + level) / 2, blocks - 1)
