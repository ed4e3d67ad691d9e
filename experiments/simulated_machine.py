"""A machine with a real one's kind of noise, without waiting for it: how often does an interval hold the truth?

What it imitates was seen in the records under results/: slow spells of some seconds that hit both sides (a fifth
slower, a third of the time), a drift that wanders within seconds, blocks of one side that differ by 3 % for no visible
reason, requests correlated with their neighbours, and bursts now and then.

Backs: docs/benchmarking-method.md, "It has slow spells of 8 s"
"""

from __future__ import annotations

import math
from itertools import chain

import numpy as np
import numpy.typing as npt

from photofinish.perf.judge.summary import latency_statistic
from photofinish.perf.measure.comparison import block_order
from photofinish.perf.statistics import ratio_interval

Latencies = npt.NDArray[np.float64]

STATISTIC_KEYS = ("p50", "mean", "p95")
_GRID_S = 0.05
_DRIFT_S, _DRIFT_SHARE = 2.0, 0.05
_FAST_S, _SLOW_S, _SLOW_SHARE = 20.0, 8.0, 0.20
_BLOCK_SHARE = 0.03
_REQUEST_SHARE, _REQUEST_CORRELATION = 0.09, 0.5
_BURST_CHANCE = 0.01
_RESAMPLES = 400


def simulated_blocks(
    generator: np.random.Generator, *, rounds: int, block_s: float, median_s: float, slow_down: float = 0.0
) -> tuple[list[Latencies], list[Latencies]]:
    """The latencies, in seconds, of the blocks of two sides in ABBA order; the second is `slow_down` slower."""
    order = block_order(("a", "b"), rounds=rounds, seed=int(generator.integers(2**31)))
    speed = _speed_path(generator, seconds=2 * rounds * block_s * 2 + 10)
    blocks: dict[str, list[Latencies]] = {"a": [], "b": []}
    now_s = 0.0
    for key in chain.from_iterable(order):
        latencies = _block(generator, speed[int(now_s / _GRID_S) :], block_s, median_s)
        if key == "b":
            latencies = latencies * (1 + slow_down)
        blocks[key].append(latencies[: int(np.searchsorted(np.cumsum(latencies), block_s)) + 1])
        now_s += float(blocks[key][-1].sum())
    return blocks["a"], blocks["b"]


def simulated_coverage(
    runs: int, *, rounds: int = 20, block_s: float = 0.3, median_s: float = 0.01, slow_down: float = 0.0
) -> dict[str, float]:
    """The share of comparisons whose interval holds the true gain, 1 / (1 + slow_down), per statistic."""
    held = dict.fromkeys(STATISTIC_KEYS, 0)
    for run in range(runs):
        sides = simulated_blocks(
            np.random.default_rng(run), rounds=rounds, block_s=block_s, median_s=median_s, slow_down=slow_down
        )
        for key in held:
            interval = ratio_interval(*sides, latency_statistic(key), resamples=_RESAMPLES)
            held[key] += interval.holds(1 / (1 + slow_down))
    return {key: count / runs for key, count in held.items()}


def _speed_path(generator: np.random.Generator, *, seconds: float) -> Latencies:
    """The logarithm of the machine's slowness every _GRID_S: slow spells and a drift."""
    count = int(seconds / _GRID_S)
    kept = math.exp(-_GRID_S / _DRIFT_S)
    steps = generator.normal(0, _DRIFT_SHARE * math.sqrt(1 - kept**2), count)
    chances = generator.random(count)
    is_slow = bool(generator.random() < _SLOW_S / (_FAST_S + _SLOW_S))
    drift, path = float(generator.normal(0, _DRIFT_SHARE)), np.empty(count)
    for index, (step, chance) in enumerate(zip(steps.tolist(), chances.tolist(), strict=True)):
        drift = kept * drift + step
        is_slow ^= chance < _GRID_S / (_SLOW_S if is_slow else _FAST_S)
        path[index] = drift + (_SLOW_SHARE if is_slow else 0.0)
    return path


def _block(generator: np.random.Generator, speed: Latencies, block_s: float, median_s: float) -> Latencies:
    """More latencies than fit into a block, correlated with their neighbours."""
    count = int(2 * block_s / median_s) + 4
    noise = generator.normal(0, _REQUEST_SHARE, count)
    noise[1:] = _REQUEST_CORRELATION * noise[:-1] + math.sqrt(1 - _REQUEST_CORRELATION**2) * noise[1:]
    plain = median_s * np.exp(noise + speed[0] + generator.normal(0, _BLOCK_SHARE))
    places = np.minimum((np.cumsum(plain) / _GRID_S).astype(int), len(speed) - 1)
    bursts = (generator.random(count) < _BURST_CHANCE) * generator.exponential(median_s, count)
    moved: Latencies = plain * np.exp(speed[places] - speed[0]) + bursts
    return moved
