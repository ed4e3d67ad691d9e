"""Statistics against hand-computed cases and against numpy and scipy."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest

from photofinish.perf.statistics import (
    expansion,
    ratio_interval,
    resampled_mean,
    resampled_nearest_rank,
    student_t_quantile,
    value_interval,
)

scipy_stats = pytest.importorskip("scipy.stats")


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 5, 9, 30, 101])
@pytest.mark.parametrize("probability", [0.6, 0.9, 0.975, 0.999])
def test_student_t_is_scipys(probability: float, degrees: int) -> None:
    expected = scipy_stats.t.ppf(probability, degrees)
    assert student_t_quantile(probability, degrees) == pytest.approx(expected, rel=1e-7)


def test_expansion_by_hand() -> None:
    # 6 blocks: sqrt(6/5) * t(0.975, 5) = 1.0954 * 2.5706 = 2.8159
    assert expansion(6, 0.95) == pytest.approx(2.8159, abs=1e-4)
    assert expansion(10_000, 0.95) == pytest.approx(1.9603, abs=1e-3)


@pytest.mark.parametrize("rounds", [5, 10, 20])
def test_the_interval_is_students_t_where_that_is_exact(rounds: int) -> None:
    """One value a block: the mean of n numbers close to each other, for which scipy has the t interval."""
    values = np.random.default_rng(rounds).normal(10, 0.05, rounds)
    ours = value_interval([np.array([value]) for value in values], resampled_mean)
    low, high = scipy_stats.t.interval(0.95, rounds - 1, values.mean(), scipy_stats.sem(values))
    assert ours.estimate == pytest.approx(values.mean())
    assert (ours.high - ours.low) == pytest.approx(high - low, rel=0.05)


def test_what_is_not_positive_has_no_ratio() -> None:
    with pytest.raises(ValueError, match="positive"):
        ratio_interval([np.zeros(3)] * 2, [np.ones(3)] * 2, resampled_mean)


def test_ratio_of_equal_constant_sides_is_one() -> None:
    blocks = [np.full(10, 5) for _ in range(5)]
    interval = ratio_interval(blocks, blocks, partial(resampled_nearest_rank, share=0.5), resamples=50)
    assert (interval.estimate, interval.low, interval.high) == (1.0, 1.0, 1.0)


def test_ratio_interval_is_paired_by_round() -> None:
    # A drift that doubles both sides in every round leaves the ratio alone.
    baseline = [np.full(10, 100.0 * 2**index) for index in range(6)]
    faster = [block / 2 for block in baseline]
    interval = ratio_interval(baseline, faster, resampled_mean, resamples=200)
    assert interval.low == interval.high == interval.estimate == 2.0


def test_ratio_interval_covers_as_often_as_it_says() -> None:
    """Few, correlated blocks: the interval for a true ratio of 1.25 must hold it in about 95 % of the runs."""
    generator = np.random.default_rng(11)

    def side(scale: float) -> list[np.ndarray]:
        return [scale * np.exp(generator.normal(0, 0.05) + generator.normal(0, 0.1, 60)) for _ in range(6)]

    held = sum(
        ratio_interval(
            side(1.25), side(1.0), partial(resampled_nearest_rank, share=0.5), resamples=300, seed=run
        ).holds(1.25)
        for run in range(200)
    )
    assert 180 <= held <= 200


def test_unequal_or_single_blocks_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        ratio_interval([np.ones(3)], [np.ones(3)], resampled_mean)


@pytest.mark.parametrize("seed", range(5))
def test_resampled_figures_are_those_of_the_samples_written_out(seed: int) -> None:
    generator = np.random.default_rng(seed)
    blocks = [generator.integers(1, 60, int(generator.integers(1, 80))) for _ in range(6)]
    counts = generator.multinomial(6, [1 / 6] * 6, size=50)
    written_out = [
        np.concatenate([np.tile(block, times) for block, times in zip(blocks, row, strict=True)]) for row in counts
    ]
    for share in (0.01, 0.5, 0.95, 0.99, 1.0):
        expected = [np.percentile(values, share * 100, method="inverted_cdf") for values in written_out]
        assert resampled_nearest_rank(blocks, counts, share=share).tolist() == expected
    assert resampled_mean(blocks, counts) == pytest.approx([values.mean() for values in written_out])


def test_bootstrap_spread_is_scipys() -> None:
    """One value a block: the block bootstrap is then the ordinary one, and scipy has that."""
    generator = np.random.default_rng(2)
    values = generator.normal(10, 1, 40)
    ours = value_interval([np.array([value]) for value in values], resampled_mean)
    theirs = scipy_stats.bootstrap((values,), lambda sample, axis: np.log(sample.mean(axis)), n_resamples=4000, rng=1)
    reach = expansion(40, 0.95) * theirs.standard_error
    assert math.log(ours.high / ours.estimate) == pytest.approx(reach, rel=0.05)
    assert math.log(ours.estimate / ours.low) == pytest.approx(reach, rel=0.05)
