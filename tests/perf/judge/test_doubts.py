"""A drift is found, and scatter is not called one; a late sender is noticed."""

from __future__ import annotations

import numpy as np
import pytest

from photofinish.perf.judge.doubts import drift_of, is_sender_late
from photofinish.perf.record.record import Block
from photofinish.perf.record.samples import NS_PER_MS, NS_PER_S, Samples

ARMS = 10
SCATTER = 0.08
"""Standard deviation of a block's median in the records of a shared two-core machine."""


def _blocks(generator: np.random.Generator, trend: np.ndarray, scatter: float = SCATTER) -> tuple[Block, ...]:
    """One block of 12 requests per value of `trend`, the logarithm of its median in units of 10 ms."""
    blocks = []
    for number, level in enumerate(trend):
        latency = 1e7 * np.exp(level + generator.normal(0, scatter) + generator.normal(0, 0.05, 12))
        due = np.concatenate([[0], np.cumsum(latency)[:-1]]).astype(int)
        done = (due + latency).astype(int)
        times = [tuple(int(value) for value in column) for column in (due, due, done)]
        samples = Samples(scheduled_ns=times[0], sent_ns=times[1], done_ns=times[2], window_ns=times[2][-1])
        blocks.append(Block(arm="a", round=number, began_ns=0, samples=samples))
    return tuple(blocks)


def _plain_difference(blocks: tuple[Block, ...]) -> float:
    """The halves' medians set against each other, without asking how much blocks scatter."""
    middle = len(blocks) // 2
    first, second = (
        float(np.median(np.concatenate([block.samples.latency_ns for block in side])))
        for side in (blocks[:middle], blocks[middle:])
    )
    return abs(second / first - 1)


@pytest.mark.parametrize("rounds", [5, 16])
def test_scatter_is_not_called_a_drift(rounds: int) -> None:
    """A ladder of ten arms on a machine that scatters but does not drift: at most one in twenty is called drifting."""
    generator = np.random.default_rng(rounds)
    alarms = naive = 0
    for _ in range(100):
        ladder = [_blocks(generator, np.zeros(rounds)) for _ in range(ARMS)]
        alarms += any(abs(drift_of(blocks, families=ARMS) or 0.0) > 0.10 for blocks in ladder)
        naive += any(_plain_difference(blocks) > 0.10 for blocks in ladder)
    assert alarms <= 10
    assert rounds > 5 or naive > 60  # what a plain comparison of two with three blocks would have said


@pytest.mark.parametrize(
    "trend",
    [np.repeat([0.0, 0.25], 8), np.linspace(0.0, 0.4, 16), -np.linspace(0.0, 0.4, 16)],
    ids=["step", "up", "down"],
)
def test_a_drift_is_found_with_its_size(trend: np.ndarray) -> None:
    generator = np.random.default_rng(1)
    found = [drift_of(_blocks(generator, trend, 0.05), families=ARMS) for _ in range(50)]
    sizes = [size for size in found if size is not None]
    assert len(sizes) >= 48
    half = trend[8:].mean() - trend[:8].mean()
    assert np.median(sizes) == pytest.approx(np.expm1(half), abs=0.03)


def test_a_ratio_drifts_only_where_the_two_differ() -> None:
    generator = np.random.default_rng(3)
    step = np.repeat([0.0, 0.3], 8)
    slow, other = _blocks(generator, step, 0.02), _blocks(generator, step, 0.02)
    assert drift_of(slow) == pytest.approx(np.expm1(0.3), abs=0.05)
    assert drift_of(slow, against=other) is None or abs(drift_of(slow, against=other) or 0.0) < 0.05
    steady = _blocks(generator, np.zeros(16), 0.02)
    assert drift_of(slow, against=steady) == pytest.approx(np.expm1(0.3), abs=0.05)
    assert drift_of(steady, against=slow[:3]) is None


def test_too_little_to_tell() -> None:
    generator = np.random.default_rng(0)
    assert drift_of(()) is None
    assert drift_of(_blocks(generator, np.array([0.0, 1.0, 2.0]))) is None
    assert drift_of(_blocks(generator, np.array([0.0, 0.0, 1.0, 1.0]), 0.001)) == pytest.approx(np.e - 1, rel=0.1)


def test_a_late_sender_is_noticed() -> None:
    def build(late_ms: float, count_late: int) -> Samples:
        due = [index * 10 * NS_PER_MS for index in range(100)]
        sent = [time_ns + int((late_ms if index < count_late else 0) * NS_PER_MS) for index, time_ns in enumerate(due)]
        done = [time_ns + 20 * NS_PER_MS for time_ns in sent]
        return Samples(scheduled_ns=tuple(due), sent_ns=tuple(sent), done_ns=tuple(done), window_ns=NS_PER_S)

    assert not is_sender_late([build(0.3, 100)])
    assert is_sender_late([build(0.5, 100)])
    assert is_sender_late([build(0.5, 6)])
    assert not is_sender_late([build(0.5, 5)])
    assert not is_sender_late([build(30, 1)])
    assert is_sender_late([build(30, 2)])
    assert not is_sender_late([build(30, 2), build(0, 0)])
    assert not is_sender_late([])
    assert not is_sender_late([Samples(scheduled_ns=(), sent_ns=(), done_ns=(), window_ns=0)])
