"""The percentiles of the eager row."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.eager import percentiles_ms
from photofinish.percentiles import nearest_rank


@pytest.mark.parametrize(("runs", "carried"), [(20, 1), (129, 1), (130, 2), (661, 2), (662, 3)])
def test_a_percentile_that_the_runs_cannot_carry_is_not_given(runs: int, carried: int) -> None:
    measured = np.random.default_rng(0).exponential(1, runs)
    found = percentiles_ms(measured)
    assert sum(value is not None for value in found.values()) == carried
    assert found["p50_ms"] == pytest.approx(nearest_rank(measured, 0.5), abs=1e-3)
