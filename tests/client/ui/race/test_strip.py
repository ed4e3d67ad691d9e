"""The photo-finish strip: a line where a frame arrived, an area where they lie close."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from photofinish.client.ui.race.places import RaceBox, places_for
from photofinish.client.ui.race.strip import axis_end, column_of, draw_axis, draw_gap, draw_lane, finish_post, tick_step
from tests.client.ui.race.races import MS

BLUE = (233, 180, 86)
BOX = RaceBox(left=10, top=5, width=1000, height=40)


def lane_columns(arrivals_ms: list[float], axis_ms: int = 10_000) -> np.ndarray:
    """Columns of the lane's middle row, from its left end, that bear its colour."""
    canvas = np.zeros((50, 1020, 3), np.uint8)
    draw_lane(canvas, BOX, np.array([time * MS for time in arrivals_ms], np.int64), axis_ms * MS, BLUE, 1.0)
    row = canvas[BOX.top + BOX.height // 2, BOX.left : BOX.right]
    return np.nonzero(row[:, 0] > 130)[0]


def test_each_arrival_is_a_line_that_ends_at_its_time() -> None:
    columns = lane_columns([2000, 5000, 9990])
    starts = columns[np.insert(np.diff(columns) > 1, 0, True)]
    ends = columns[np.append(np.diff(columns) > 1, True)]
    assert list(ends) == [199, 499, 998]
    assert set(ends - starts + 1) == {4}


def test_close_arrivals_become_an_area_and_never_hide_that_there_are_some() -> None:
    dense = lane_columns([time / 2 for time in range(1, 4001)])
    assert list(dense) == list(range(200)), "2,000 frames a second on 100 columns a second"
    assert len(lane_columns([15])) >= 1, "one frame at the very begin"
    assert len(lane_columns([])) == 0


def test_a_finish_post_stands_behind_the_last_line() -> None:
    post = finish_post(BOX, 5000 * MS, 10_000 * MS, 1.0)
    assert (post.left, post.top, post.height) == (510, 5, 40)
    assert finish_post(BOX, 10_000 * MS, 10_000 * MS, 1.0).right == BOX.right, "never outside"
    assert column_of(0, BOX, 10_000 * MS) == BOX.left
    assert axis_end(10_000 * MS) > 10_000 * MS


@pytest.mark.parametrize(("begin", "end"), [(100, 900), (900, 1000), (15, 40), (1005, 1008)])
def test_the_gap_has_its_arrow_and_its_words_inside_the_lane(begin: int, end: int) -> None:
    canvas = np.zeros((50, 1020, 3), np.uint8)
    draw_gap(canvas, BOX, begin, end, "3.75 s · 38 frames", 24, 1.0)
    assert canvas[:, : BOX.left].max() == canvas[:, BOX.right :].max() == 0
    assert canvas.max() > 200


@pytest.mark.parametrize(("seconds", "step"), [(8.3, 1), (0.9, 0.1), (0.004, 0.001), (61, 10), (16, 2)])
def test_the_axis_has_round_steps(seconds: float, step: float) -> None:
    assert tick_step(seconds) == step


def test_the_axis_is_drawn_under_the_lane() -> None:
    places = places_for("wide", 270)
    canvas = np.zeros((270, 480, 3), np.uint8)
    draw_axis(canvas, places.lanes[1], 8000 * MS, places.axis, "{} s", places.unit)
    assert canvas[: places.lanes[1].bottom].max() == 0 < canvas[places.lanes[1].bottom :].max()


@pytest.mark.parametrize("layout", ["wide", "tall"])
@pytest.mark.parametrize("height", [None, 1120, 720, 450, 361])
def test_places_lie_on_the_canvas_and_not_on_each_other(layout: str, height: int | None) -> None:
    places = places_for("tall" if layout == "tall" else "wide", height)
    width, tall = places.size_wh
    assert (width % 2, tall % 2) == (0, 0), "H.264 wants even sides"
    boxes = [*places.panels, *places.lanes]
    for box in boxes:
        assert 0 <= box.left < box.right <= width
        assert 0 <= box.top < box.bottom <= tall
    below = sorted({(box.top, box.bottom) for box in boxes})
    assert all(one[1] <= two[0] for one, two in itertools.pairwise(below))
    for text in (places.brand, places.figure, *places.title, *places.lines, places.foot):
        assert text.x + text.width <= width + 1
        assert text.y <= tall
