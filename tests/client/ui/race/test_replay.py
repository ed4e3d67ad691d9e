"""Given arrivals: who won, by how much, and whether both found the same."""

from __future__ import annotations

import numpy as np
import pytest

from photofinish.client.ui.race.replay import RaceClaim, RaceLane, SeenPictures, finish_line
from photofinish.errors import ConfigError
from tests.client.ui.race.races import MS, build_race, detections, lane, pictures


def test_the_gap_in_seconds_and_frames() -> None:
    race = build_race()
    assert (race.winner, race.loser) == ("optimised", "baseline")
    assert (race.won_ns, race.duration_ns, race.gap_ns) == (1250 * MS, 5000 * MS, 3750 * MS)
    assert race.gap_frames == 50 - 12, "after 1.25 s the baseline has done 12"


def test_the_baseline_can_win() -> None:
    race = build_race(lanes={"baseline": lane(20, 100), "optimised": lane(40, 100)}, finish=100)
    assert (race.winner, race.gap_ns, race.gap_frames) == ("baseline", 2000 * MS, 50)


def test_a_side_stops_at_the_finish_line() -> None:
    race = build_race()
    assert [race.done("optimised", now * MS) for now in (24, 25, 1249, 1250, 9000)] == [0, 1, 49, 50, 50]


@pytest.mark.parametrize(
    ("slow_ms", "count", "finish"),
    [
        (100, 80, 50),  # 80 in 8 s
        (70, 200, 100),  # 114 in 8 s
        (14, 1000, 500),  # 571 in 8 s
        (1500, 60, 5),  # 5 in 8 s
        (100, 15, 10),  # measured for less than 8 s
        (9000, 3, 1),  # not one in 8 s
    ],
)
def test_the_finish_line_is_a_round_number_that_the_slower_side_reaches(slow_ms: int, count: int, finish: int) -> None:
    assert finish_line({"baseline": lane(slow_ms, count), "optimised": lane(5, 5000)}) == finish


def test_a_finish_line_that_nobody_reached_is_told() -> None:
    with pytest.raises(ConfigError, match=r"baseline came to 80 of 90 frames .*raise --seconds or lower --frames"):
        build_race(finish=90)


def test_arrivals_must_grow() -> None:
    for wrong in ([], [5, 3], [-1, 2]):
        with pytest.raises(ValueError, match="growing times"):
            RaceLane(variant="toy", how="", arrivals_ns=np.array(wrong, np.int64))


def test_pictures_come_again_in_order() -> None:
    seen = pictures(4)
    assert [seen.index_of(frame) for frame in (1, 4, 5, 50)] == [0, 3, 0, 1]


def test_objects_that_only_one_side_shows_are_counted() -> None:
    assert pictures(4).shared_in(50) == (8, 8)
    missed = pictures(4, missed_at=1)
    assert (missed.shared(0), missed.shared(1), missed.shared_in(50)) == ((2, 2), (1, 2), (7, 8))
    assert missed.shared_in(1) == (2, 2), "one frame is one picture"


def test_a_box_at_the_limit_is_no_difference() -> None:
    """The partner of a shown box may be a little weaker than what is shown, whichever side has it."""
    strong, weak = detections((0, 0, 10, 10), confidence=0.26), detections((0, 0, 10, 10), confidence=0.2)
    image = (np.zeros((20, 20, 3), np.uint8),)
    for left, right in ((strong, weak), (weak, strong), (strong, strong)):
        seen = SeenPictures(images=image, found={"baseline": (left,), "optimised": (right,)}, class_names=("car",))
        assert seen.shared(0) == (1, 1)
    other = detections((50, 50, 60, 60), confidence=0.2)
    seen = SeenPictures(images=image, found={"baseline": (strong,), "optimised": (other,)}, class_names=("car",))
    assert seen.shared(0) == (0, 1), "what neither shows is no object"


def test_a_claim_with_doubts_claims_nothing() -> None:
    assert not RaceClaim(ratio=4.0).is_void
    assert RaceClaim(ratio=4.0, doubts={"en": ("other programs used a core",)}).is_void
