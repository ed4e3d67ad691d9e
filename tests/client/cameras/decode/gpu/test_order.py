"""B frames are told by capture times, and a clock that is set is not taken for them."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from photofinish.client.cameras.decode.gpu.sessions import CaptureOrder

STEP_NS = 40_000_000


def is_reordered(places: Iterable[float]) -> bool:
    order = CaptureOrder()
    return any([order.is_reordered_by(round(place * STEP_NS)) for place in places])


def pictures(pattern: tuple[int, ...], count: int) -> list[float]:
    """A group's places in the order of coming, again and again."""
    return [len(pattern) * group + place for group in range(count) for place in pattern]


@pytest.mark.parametrize("pattern", [(2, 1), (3, 1, 2), (4, 2, 1, 3), (3, 2, 1)])
def test_b_frames_are_seen_within_a_second(pattern: tuple[int, ...]) -> None:
    assert is_reordered(pictures(pattern, 4))


def test_a_clock_that_is_set_is_no_b_frame() -> None:
    """The first sender report of a camera moves its capture times back by what its encoder takes."""
    assert not is_reordered([*range(20), *(place - 5 for place in range(20, 60))])
    assert not is_reordered([*range(20), *(place - 500 for place in range(20, 60))])
    assert not is_reordered(place - 3 * (place // 50) for place in range(500)), "a clock that is set every two seconds"
    assert not is_reordered(range(500))


def test_another_connection_begins_anew() -> None:
    order = CaptureOrder()
    for _ in range(10):
        assert not order.is_reordered_by(10**12)
        assert not order.is_reordered_by(10**12 - STEP_NS)
        order.begin_anew()
