"""Time stamps as containers give them, and the times that pictures get."""

from __future__ import annotations

import pytest

from photofinish.client.sources.presentation import PresentationClock


def placed(stamps_ns: list[int | None], shown_for_ns: int | None = None) -> list[int]:
    clock = PresentationClock(interval_ns=40, max_step_ns=1000)
    return [clock.place(stamp_ns, shown_for_ns) for stamp_ns in stamps_ns]


@pytest.mark.parametrize(
    ("stamps_ns", "times_ns"),
    [
        ([500, 540, 580], [0, 40, 80]),
        ([0, 10, 300, 310], [0, 10, 300, 310]),
        ([100, 140, 20, 60], [0, 40, 80, 120]),
        ([0, 40, 99_000, 99_010], [0, 40, 80, 90]),
        ([0, 0, 0, 40], [0, 40, 80, 120]),
        ([None, None, None], [0, 40, 80]),
        ([0, None, 100], [0, 40, 100]),
        ([-90, -50, 0], [0, 40, 90]),
    ],
    ids=["even", "uneven", "back", "jump", "equal", "none", "one missing", "negative"],
)
def test_times_always_grow(stamps_ns, times_ns):
    assert placed(stamps_ns) == times_ns


def test_a_jump_takes_as_long_as_the_picture_before_it_is_shown():
    assert placed([0, 25, 0, 25], shown_for_ns=25) == [0, 25, 50, 75]
    assert placed([0, None], shown_for_ns=5000) == [0, 40]


def test_where_the_last_picture_ends():
    clock = PresentationClock(interval_ns=40, max_step_ns=1000)
    assert clock.end_ns == 0
    clock.place(7)
    clock.place(107, 60)
    assert clock.end_ns == 160
