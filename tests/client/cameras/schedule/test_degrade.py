"""Less is served of less important cameras first, in a stated order; and more again when the machine keeps up."""

from __future__ import annotations

from photofinish.client.cameras.schedule.degrade import Degrader


def seconds(degrader: Degrader, share: float, count: int, begin_s: float) -> tuple[list[str], float]:
    """So many seconds with this share of 100 due frames lost; what was said, and the time behind them."""
    said = []
    for _ in range(count):
        begin_s += 1
        said.append(degrader.note(100, round(100 * share), begin_s))
    return [text for text in said if text], begin_s


def degrader_of(*priorities: int) -> Degrader:
    degrader = Degrader()
    degrader.set_priorities(priorities)
    degrader.note(0, 0, 0.0)
    return degrader


def test_less_is_served_of_less_important_cameras_first_and_more_again_in_the_same_order() -> None:
    degrader = degrader_of(0, 5, 0, 5)
    steps = []
    now_s = 0.0
    for _ in range(7):
        said, now_s = seconds(degrader, 0.5, 8, now_s)
        steps.append((degrader.step_of(0), degrader.step_of(5), bool(said)))
        assert all(text.endswith("fewer frames_per_s, a faster --variant or fewer cameras help") for text in said)
    assert steps == [
        ("halved", "full", True),
        ("keyframes", "full", True),
        ("paused", "full", True),
        ("paused", "halved", True),
        ("paused", "keyframes", True),
        ("paused", "keyframes", False),
        ("paused", "keyframes", False),
    ]
    back = []
    while degrader.level:
        said, now_s = seconds(degrader, 0.0, 1, now_s)
        if said:
            back.append((degrader.step_of(0), degrader.step_of(5)))
    assert back == [
        ("paused", "halved"),
        ("paused", "full"),
        ("keyframes", "full"),
        ("halved", "full"),
        ("full", "full"),
    ]
    assert degrader.sentence() == "all cameras at their full rate"


def test_a_bad_second_now_and_then_changes_nothing_and_is_no_reason_to_stay_degraded() -> None:
    degrader = degrader_of(0)
    now_s = 0.0
    for _ in range(20):
        said, now_s = seconds(degrader, 0.9, 2, now_s)
        quiet, now_s = seconds(degrader, 0.0, 2, now_s)
        assert not said + quiet
    said, now_s = seconds(degrader, 0.5, 10, now_s)
    assert said[0].startswith("48.0% of the due frames came too late")
    for _ in range(10):
        _, now_s = seconds(degrader, 0.9, 1, now_s)
        _, now_s = seconds(degrader, 0.0, 3, now_s)
    assert degrader.level == 0


def test_a_step_back_that_was_too_much_is_tried_later_each_time_and_that_is_forgotten() -> None:
    degrader = degrader_of(0)

    def waited_s(now_s: float) -> tuple[float, float]:
        """From overload until the step is taken back, and the time then."""
        while not degrader.level:
            _, now_s = seconds(degrader, 0.5, 1, now_s)
        begun_s = now_s
        while degrader.level:
            _, now_s = seconds(degrader, 0.0, 1, now_s)
        return now_s - begun_s, now_s

    waits, now_s = [], 0.0
    for _ in range(7):
        wait_s, now_s = waited_s(now_s)
        waits.append(wait_s)
    assert waits == [15, 30, 60, 120, 240, 240, 240]
    _, now_s = seconds(degrader, 0.0, 300, now_s)
    assert waited_s(now_s)[0] == 15


def test_cameras_that_come_and_go_keep_the_steps_within_what_there_is() -> None:
    degrader = degrader_of(0, 1)
    seconds(degrader, 0.5, 50, 0.0)
    assert (degrader.level, degrader.step_of(1), degrader.step_of(7)) == (5, "keyframes", "full")
    degrader.set_priorities([1])
    assert (degrader.level, degrader.sentence()) == (2, "cameras of priority 1 by keyframes only")
    degrader.set_priorities([])
    assert degrader.level == 0
