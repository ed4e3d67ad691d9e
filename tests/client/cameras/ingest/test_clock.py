"""Capture times: a camera's clock that is right, wrong, jumping, absent; RTP times that wrap and run off."""

from __future__ import annotations

import pytest

from photofinish.client.cameras.ingest.clock import CaptureClock
from photofinish.client.cameras.ingest.figures import MOST_AT_ONCE, PictureBudget, StreamFigures
from photofinish.client.cameras.rtsp.rtp import SenderReport

SECOND = 10**9
UNIX = 1_700_000_000 * SECOND
RATE = 90_000


def clock() -> CaptureClock:
    return CaptureClock(RATE, unix_offset_ns=lambda: UNIX)


def report(timestamp: int, monotonic_ns: int) -> SenderReport:
    return SenderReport(ssrc=1, unix_ns=UNIX + monotonic_ns, timestamp=timestamp % 2**32)


def test_a_right_clock_tells_the_capture_time_over_a_wrap() -> None:
    made = clock()
    base = 2**32 - RATE
    made.place(base, 10 * SECOND)
    made.hear(report(base, 10 * SECOND - SECOND // 20))
    for second in range(1, 4):
        arrived = (10 + second) * SECOND + second * SECOND // 100
        captured, kind = made.place((base + second * RATE) % 2**32, arrived)
        assert kind == "rtcp"
        assert captured == pytest.approx((10 + second) * SECOND - SECOND // 20, abs=1000)
    assert made.offset_ms == pytest.approx(-80, abs=1)


@pytest.mark.parametrize("wrong_s", [5 * 365 * 86400, -5 * 365 * 86400, 3, -0.5])
def test_a_wrong_clock_is_told_and_not_used(wrong_s: float) -> None:
    made = clock()
    made.place(0, 10 * SECOND)
    made.hear(report(0, round((10 - wrong_s) * SECOND)))
    captured, kind = made.place(RATE, 11 * SECOND)
    assert (captured, kind) == (11 * SECOND, "arrival")
    assert made.offset_ms == pytest.approx(-wrong_s * 1000, rel=0.01)


def test_a_clock_that_jumps_is_not_used_until_it_is_steady() -> None:
    made = clock()
    made.place(0, 10 * SECOND)
    made.hear(report(0, 10 * SECOND))
    assert made.place(RATE, 11 * SECOND)[1] == "rtcp"
    made.hear(report(RATE, 10 * SECOND))
    assert made.place(2 * RATE, 12 * SECOND)[1] == "arrival"
    made.hear(report(2 * RATE, 11 * SECOND))
    assert made.place(3 * RATE, 13 * SECOND)[1] == "rtcp"


def test_without_a_clock_pictures_are_placed_where_they_come_earliest() -> None:
    made = clock()
    delays = [0.3, 0.1, 0.25, 0.4, 0.1, 0.9]
    placed = [made.place(n * RATE, round((n + delay) * SECOND)) for n, delay in enumerate(delays)]
    assert {kind for _, kind in placed} == {"arrival"}
    assert [round(captured / SECOND, 3) for captured, _ in placed] == [0.3, 1.1, 2.1, 3.1, 4.1, 5.1]


def test_times_that_jump_begin_anew() -> None:
    made = clock()
    made.place(0, SECOND)
    made.place(1_000_000_000, 2 * SECOND)
    assert made.place(1_000_000_000 + RATE, 3 * SECOND) == (3 * SECOND, "arrival")


def test_a_clock_that_runs_off_never_makes_a_picture_old_for_long() -> None:
    made = clock()
    for n in range(2000):  # media time runs at half speed
        captured, _ = made.place(n * RATE // 2, n * SECOND)
        assert 0 <= n * SECOND - captured <= 61 * SECOND


def test_the_rate_is_measured_over_capture_times() -> None:
    figures = StreamFigures()
    assert figures.fps is None
    for n in range(60):
        figures.add(n * SECOND // 10, 0, 10, is_keyframe=n % 20 == 0)
    assert figures.fps == pytest.approx(10)
    assert figures.keyframe_interval_s == pytest.approx(2)
    figures.begin_connection()
    assert figures.fps is None


@pytest.mark.parametrize("ticks", [0, RATE // 90, -RATE])
def test_rtp_time_that_stands_still_or_runs_slowly_or_backwards_gives_way_to_the_arrival(ticks: int) -> None:
    """A camera that counts milliseconds, or always says the same, had one picture in ten seconds inferred."""
    made = clock()
    placed = [(n * SECOND, made.place(n * ticks % 2**32, n * SECOND)) for n in range(1, 40)]
    assert all(found == (arrived, "arrival") for arrived, found in placed[12:])


def test_rtp_time_that_is_set_back_begins_anew() -> None:
    """Pictures were told of as five seconds old for a minute, and dropped for it."""
    made = clock()
    for n in range(1, 5):
        made.place(n * RATE, n * SECOND)
    assert made.place(0, 5 * SECOND) == (5 * SECOND, "arrival")


def test_a_flood_of_pictures_is_told_from_those_that_a_camera_kept() -> None:
    budget = PictureBudget()
    assert all(budget.takes(0) for _ in range(MOST_AT_ONCE))
    assert not budget.has_flooded
    assert budget.takes(SECOND // 100)
    assert sum(budget.takes(SECOND) for _ in range(2 * MOST_AT_ONCE)) < MOST_AT_ONCE
    assert budget.has_flooded
    steady = PictureBudget()
    assert all(steady.takes(n * SECOND // 240) for n in range(5000))


def test_rtp_time_is_trusted_again_once_it_goes_as_the_arrivals_do() -> None:
    """Pictures that a network held back for longer than a camera's clock can be off say nothing about that clock."""
    made = clock()
    made.place(0, SECOND)
    assert made.place(RATE, 20 * SECOND)[0] == 20 * SECOND  # it was held back for 18 s
    for n in range(2, 30):
        made.place(n * RATE, (19 + n) * SECOND)
    late = SECOND // 2
    assert made.place(30 * RATE, 49 * SECOND + late) == (49 * SECOND, "arrival")
