"""Percentiles against hand-computed cases and against numpy and scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest

from photofinish.percentiles import (
    DurationHistogram,
    binomial_cdf,
    carried_percentile,
    min_samples,
    missing_samples,
    nearest_rank,
)


@pytest.mark.parametrize(
    ("share", "expected"), [(0.01, 15), (0.2, 15), (0.3, 20), (0.4, 20), (0.5, 35), (0.6, 35), (0.95, 50), (1.0, 50)]
)
def test_nearest_rank_by_hand(share: float, expected: float) -> None:
    assert nearest_rank(np.array([35, 50, 15, 40, 20]), share) == expected


def test_nearest_rank_does_not_stumble_over_binary_fractions() -> None:
    values = np.arange(1, 101)
    assert [nearest_rank(values, percent / 100) for percent in range(1, 101)] == list(range(1, 101))


@pytest.mark.parametrize("seed", range(20))
def test_nearest_rank_is_numpys_inverted_cdf(seed: int) -> None:
    generator = np.random.default_rng(seed)
    values = generator.lognormal(0, 1, int(generator.integers(1, 3000)))
    for share in (0.001, 0.1, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0):
        assert nearest_rank(values, share) == np.percentile(values, share * 100, method="inverted_cdf")


@pytest.mark.parametrize(("share", "expected"), [(0.90, 64), (0.95, 130), (0.99, 662)])
def test_sample_size_rule_is_mlperfs(share: float, expected: int) -> None:
    assert min_samples(share) == expected
    assert carried_percentile(np.arange(expected - 1), share) is None
    assert carried_percentile(np.arange(expected), share) is not None


def test_median_needs_no_rule_but_a_value() -> None:
    assert carried_percentile(np.array([7]), 0.5) == 7
    assert carried_percentile(np.array([], np.int64), 0.5) is None


@pytest.mark.parametrize("seed", range(10))
def test_binomial_cdf_is_scipys(seed: int) -> None:
    scipy_stats = pytest.importorskip("scipy.stats")
    generator = np.random.default_rng(seed)
    trials = int(generator.integers(1, 5000))
    probability = float(generator.uniform(0.001, 0.5))
    successes = int(generator.integers(0, max(1, int(trials * probability * 2))))
    assert binomial_cdf(successes, trials, probability) == pytest.approx(
        scipy_stats.binom.cdf(successes, trials, probability), rel=1e-9
    )


def test_no_value_and_no_share_are_refused() -> None:
    with pytest.raises(ValueError, match="share"):
        nearest_rank(np.ones(3), 0.0)
    assert math.isclose(binomial_cdf(5, 5, 0.3), 1.0)


@pytest.mark.parametrize(
    ("count", "share", "expected"), [(0, 0.95, 130), (129, 0.95, 1), (130, 0.95, 0), (500, 0.95, 0), (0, 0.5, 1)]
)
def test_how_many_samples_are_missing(count: int, share: float, expected: int) -> None:
    assert missing_samples(count, share) == expected
    assert (carried_percentile(np.arange(count), share) is None) == (expected > 0)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.95, 0.999, 1.0])
def test_a_histogram_is_off_by_its_error_at_most(share: float) -> None:
    durations_ns = np.random.default_rng(7).lognormal(math.log(20e6), 2.0, 20_000).astype(np.int64)
    histogram = DurationHistogram()
    for duration_ns in durations_ns:
        histogram.add(int(duration_ns))
    assert histogram.count == len(durations_ns)
    exact = nearest_rank(durations_ns, share)
    assert histogram.percentile_ns(share) == pytest.approx(exact, rel=DurationHistogram.RELATIVE_ERROR * 1.001)


def test_a_histogram_takes_any_duration_and_tells_nothing_of_none() -> None:
    histogram = DurationHistogram()
    with pytest.raises(ValueError, match="needs durations"):
        histogram.percentile_ns(0.5)
    for duration_ns in (-5, 0, 10**15):
        histogram.add(duration_ns)
    assert histogram.percentile_ns(0.5) == pytest.approx(1_000, rel=0.01)
    assert histogram.percentile_ns(1) == pytest.approx(1e12, rel=0.01)
