"""A few comparisons of the kind that docs/benchmarking.md counts twenty of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from experiments.check_discrimination import check_discrimination, main, noisy_sender, tally_from_sections
from experiments.simulated_machine import simulated_blocks, simulated_coverage
from photofinish.perf.statistics import ratio_interval, resampled_mean
from tests.perf.records import build_comparison


def test_the_tally_counts_what_the_intervals_said() -> None:
    same = [build_comparison(medians=(5.0, 5.0), seed=seed) for seed in range(20)]
    slower = [build_comparison(medians=(5.0, 5.5), seed=seed) for seed in range(20)]
    for key in ("p50", "mean", "frames_per_s"):
        assert tally_from_sections(same).held_one[key] >= 18
        assert tally_from_sections(slower).found_slower[key] >= 18
    few = replace(same[0], blocks=tuple(block for block in same[0].blocks if block.round < 3))
    assert tally_from_sections([few]).refused["p95"] == 1


def test_a_real_slow_down_is_found_in_real_time() -> None:
    tallies = check_discrimination(
        lambda seed: noisy_sender(seed, median_s=0.002), runs=1, rounds=5, block_s=0.1, on_progress=lambda line: None
    )
    assert {name: tally.runs for name, tally in tallies.items()} == {"same": 1, "slower": 1}
    mean = tallies["slower"].gains["mean"][0]
    assert mean is not None
    assert mean[0] < 1, "the side that waits a tenth longer is the slower one"


def test_the_script_prints_its_tallies() -> None:
    result = CliRunner().invoke(main, ["--runs", "1", "--rounds", "2", "--seconds", "0.05"])
    assert result.exit_code == 0, result.output
    assert '"held_one"' in result.output


@pytest.mark.parametrize(("rounds", "block_s"), [(5, 1.0), (20, 0.3)])
def test_the_interval_holds_as_often_as_it_says(rounds: int, block_s: float) -> None:
    """1000 A/A comparisons on a machine with slow spells, drift and correlated requests."""
    coverage = simulated_coverage(1000, rounds=rounds, block_s=block_s, median_s=0.015)
    assert all(share >= 0.93 for share in coverage.values()), coverage


def test_a_simulated_slow_down_is_found_and_measured() -> None:
    coverage = simulated_coverage(100, slow_down=0.10)
    assert all(share >= 0.88 for share in coverage.values()), coverage
    found = 0
    for run in range(20):
        sides = simulated_blocks(np.random.default_rng(run), rounds=20, block_s=0.3, median_s=0.01, slow_down=0.10)
        found += ratio_interval(*sides, resampled_mean, resamples=400).high < 1
    assert found >= 18
