"""The percentiles of the eager row."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.eager import MIN_RUNS, percentiles_ms
from photofinish.percentiles import min_samples, nearest_rank


def test_the_rule_is_that_of_the_statistics() -> None:
    assert {95: min_samples(0.95), 99: min_samples(0.99)}.items() <= MIN_RUNS.items()


@pytest.mark.parametrize(("runs", "carried"), [(20, 1), (129, 1), (130, 2), (661, 2), (662, 3)])
def test_a_percentile_that_the_runs_cannot_carry_is_not_given(runs: int, carried: int) -> None:
    measured = np.random.default_rng(0).exponential(1, runs)
    found = percentiles_ms(measured)
    assert sum(value is not None for value in found.values()) == carried
    assert found["p50_ms"] == pytest.approx(nearest_rank(measured, 0.5), abs=1e-3)
