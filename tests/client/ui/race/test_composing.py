"""The screen at each moment of a race with known arrivals."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from photofinish.client.ui.page.composer import ACCENTS_BGR
from photofinish.client.ui.processes.side import SIDES, Side
from photofinish.client.ui.race.composing import RaceScreen
from photofinish.client.ui.race.places import RaceLayout, places_for
from photofinish.client.ui.race.replay import Race, RaceClaim
from photofinish.client.ui.words import PageWords
from tests.client.ui.race.races import MS, build_race

HEIGHT = 540


def screen_of(race: Race, *, layout: RaceLayout = "wide", language: str = "en") -> RaceScreen:
    return RaceScreen(race, PageWords("zh" if language == "zh" else "en"), layout=layout, height_px=HEIGHT)


def lane_pixels(picture: npt.NDArray[np.uint8], side: Side) -> npt.NDArray[np.uint8]:
    box = places_for("wide", HEIGHT).lanes[SIDES.index(side)]
    return picture[box.top + box.height // 2, box.left : box.right]


def lines_in(picture: npt.NDArray[np.uint8], side: Side) -> int:
    """How many lines of the side's colour stand in its lane."""
    far = np.abs(lane_pixels(picture, side).astype(int) - np.array(ACCENTS_BGR[side])).max(axis=1)
    is_line = far < 60
    return int((np.diff(is_line.astype(int)) == 1).sum() + is_line[0])


def test_a_line_for_every_frame_that_has_arrived() -> None:
    screen = screen_of(build_race())
    assert [lines_in(screen.picture(now * MS), "baseline") for now in (-1, 99, 101, 1050, 5000)] == [0, 0, 1, 10, 50]
    assert lines_in(screen.picture(1250 * MS), "optimised") == 50


def test_panels_show_the_newest_frame_that_arrived_and_stop_at_the_finish_line() -> None:
    screen = screen_of(build_race())
    place = places_for("wide", HEIGHT).panels

    def ground(now_ms: int, side: Side) -> int:
        box = place[SIDES.index(side)]
        return int(screen.picture(now_ms * MS)[box.top + box.height // 2, box.left + box.width // 2 + 10, 0])

    assert ground(-1, "baseline") < 40, "dimmed before the first frame"
    assert [ground(now, "baseline") for now in (100, 200, 300, 400, 500)] == [60, 80, 100, 120, 60]
    assert ground(1250, "optimised") == ground(5000, "optimised") == ground(5000, "baseline") == 80, "the 50th frame"


@pytest.mark.parametrize("layout", ["wide", "tall"])
@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("now_ms", [-1000, 0, 700, 2000, 5000, 99_000])
def test_every_moment_can_be_drawn(layout: RaceLayout, language: str, now_ms: int) -> None:
    screen = screen_of(build_race(), layout=layout, language=language)
    picture = screen.picture(now_ms * MS)
    assert picture.shape == (screen.size_wh[1], screen.size_wh[0], 3)
    assert picture.dtype == np.uint8


def test_a_picture_is_a_function_of_the_time() -> None:
    screen = screen_of(build_race())
    first = screen.picture(2000 * MS)
    screen.picture(4000 * MS)
    assert np.array_equal(screen.picture(2000 * MS), first)
    assert np.array_equal(screen.last_picture(), screen.picture(60_000 * MS))


def test_a_void_race_is_grey() -> None:
    def colourfulness(race: Race) -> int:
        picture = screen_of(race).last_picture().astype(int)
        return int((picture.max(axis=2) - picture.min(axis=2)).max())

    void = build_race(claim=RaceClaim(ratio=4.0, doubts={"en": ("drift",), "zh": ("漂移",)}))
    assert colourfulness(build_race()) > 150
    assert colourfulness(void) < 45


def test_the_gap_grows_until_the_other_side_is_there() -> None:
    screen = screen_of(build_race())
    box = places_for("wide", HEIGHT).lanes[1]

    def arrow_end(now_ms: int) -> int:
        row = screen.picture(now_ms * MS)[box.top + box.height // 2, box.left : box.right]
        return int(np.nonzero(row.min(axis=1) > 200)[0].max(initial=0))

    ends = [arrow_end(now) for now in (2000, 3000, 5000)]
    assert ends == sorted(set(ends))


def test_races_of_any_shape_are_drawn() -> None:
    """One frame, a dead heat, a baseline that wins, thousands of frames in a blink."""
    from tests.client.ui.race.races import lane

    shapes = (
        build_race(finish=1),
        build_race(lanes={"baseline": lane(10, 50), "optimised": lane(10, 50)}),
        build_race(lanes={"baseline": lane(20, 50), "optimised": lane(40, 50)}),
        build_race(lanes={"baseline": lane(14, 2000), "optimised": lane(0.2, 2000)}, finish=2000),
    )
    for race in shapes:
        for now_ns in (0, race.won_ns, race.duration_ns):
            screen_of(race).picture(now_ns)
