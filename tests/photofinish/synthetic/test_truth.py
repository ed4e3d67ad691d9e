"""The boxes agree with the pixels that are drawn."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from photofinish.synthetic.light import light_from_step
from photofinish.synthetic.projection import ProjectedActor, project_actors
from photofinish.synthetic.rendering import draw_faces
from photofinish.synthetic.streets import Town, town_from_seed
from photofinish.synthetic.traffic import CLASS_NAMES, Actor, Traffic
from photofinish.synthetic.truth import MIN_VISIBLE_SHARE, TruthFinder

SIZE = (1280, 720)
FREE = np.full((SIZE[1], SIZE[0]), np.inf, dtype=np.float32)


@pytest.fixture(scope="module")
def town() -> Town:
    return town_from_seed(5, SIZE)


def actors_of(town: Town, class_id: int) -> list[Actor]:
    """A few actors of one class that are wholly inside the picture."""
    traffic = Traffic(town.seed, town.lanes, 2.0)
    light = light_from_step(0, 0.0)
    found: list[Actor] = []
    for time_s in range(3600, 4400, 7):
        for actor in traffic.actors(float(time_s)):
            if actor.class_id != class_id:
                continue
            for item in project_actors([actor], town, light):
                left, top, right, bottom = item.box
                inside = left > 2 and top > 2 and right < SIZE[0] - 2 and bottom < SIZE[1] - 2
                if inside and item.shown_share > 0.999:
                    found.append(actor)
        if len(found) >= 6:
            break
    return found[:6]


def drawn_extent(item: ProjectedActor) -> tuple[int, int, int, int]:
    """The pixels of which an actor covers half or more: drawn in white on black, brightness is coverage."""
    canvas = np.zeros((SIZE[1], SIZE[0], 3), dtype=np.uint8)
    draw_faces(canvas, replace(item, colours=[[255.0, 255.0, 255.0]] * len(item.colours)))
    covered = canvas[..., 0] >= 128
    rows, columns = np.flatnonzero(covered.any(axis=1)), np.flatnonzero(covered.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


@pytest.mark.parametrize("class_id", range(len(CLASS_NAMES)), ids=CLASS_NAMES)
def test_an_actor_alone_fills_its_box(town: Town, class_id: int) -> None:
    actors = actors_of(town, class_id)
    assert len(actors) >= 3
    for actor in actors:
        [item] = project_actors([actor], town, light_from_step(0, 0.0))
        truth = TruthFinder(SIZE).truth([item], [False], FREE)
        assert len(truth) == 1
        assert truth.class_id[0] == class_id
        assert np.abs(truth.boxes_xyxy[0] - np.array(drawn_extent(item))).max() <= 1.2


def test_a_hidden_actor_has_no_box_and_a_half_hidden_one_has_a_smaller_box(town: Town) -> None:
    [item] = project_actors(actors_of(town, 0)[:1], town, light_from_step(0, 0.0))
    left, _, right, _ = item.box
    finder = TruthFinder(SIZE)
    wall = FREE.copy()
    wall[:, : int((left + right) / 2)] = 0.0
    half = finder.truth([item], [True], wall)
    assert len(half) == 1
    assert abs(float(half.boxes_xyxy[0, 0]) - (left + right) / 2) <= 1.5
    assert abs(float(half.boxes_xyxy[0, 2]) - right) <= 0.01
    wall[:, : int(left + (right - left) * 0.93)] = 0.0
    assert len(finder.truth([item], [True], wall)) == 0


def test_a_nearer_actor_hides_what_is_behind_it(town: Town) -> None:
    [car] = project_actors(actors_of(town, 0)[:1], town, light_from_step(0, 0.0))
    truth = TruthFinder(SIZE).truth([car, car], [False, False], FREE)
    assert len(truth) == 1


def test_boxes_at_the_edge_are_cut_and_dropped_when_too_little_is_left(town: Town) -> None:
    actor = actors_of(town, 2)[0]
    light = light_from_step(0, 0.0)
    kept = dropped = 0
    for shift in np.linspace(0, 45, 60):
        for sign in (-1, 1):
            moved = Actor(
                class_id=actor.class_id,
                mesh=actor.mesh,
                paints=actor.paints,
                position_xy=(actor.position_xy[0] + sign * float(shift), actor.position_xy[1]),
                heading_rad=actor.heading_rad,
                speed=0.0,
                size=1.0,
                brakes=False,
            )
            for item in project_actors([moved], town, light):
                left, top, right, bottom = item.box
                share = max(min(right, SIZE[0]) - max(left, 0), 0) * max(min(bottom, SIZE[1]) - max(top, 0), 0)
                share /= (right - left) * (bottom - top)
                truth = TruthFinder(SIZE).truth([item], [False], FREE)
                if item.shown_share > 0.999 and share < MIN_VISIBLE_SHARE - 0.01:
                    assert len(truth) == 0
                    dropped += 1
                elif item.shown_share > 0.999 and share > MIN_VISIBLE_SHARE + 0.01:
                    assert len(truth) == 1
                    assert (truth.boxes_xyxy >= 0).all()
                    kept += 1
    assert kept
    assert dropped


def test_an_empty_town_has_an_empty_truth(town: Town) -> None:
    assert project_actors([], town, light_from_step(0, 0.0)) == []
    assert len(TruthFinder(SIZE).truth([], [], FREE)) == 0


def test_farther_actors_are_drawn_first_and_buses_do_not_jump_over_cars(town: Town) -> None:
    light = light_from_step(0, 0.0)
    traffic = Traffic(town.seed, town.lanes, 2.0)
    pairs = 0
    for time_s in range(3600, 3660, 5):
        items = project_actors(traffic.actors(float(time_s)), town, light)
        masks = []
        for item in items:
            mask = np.zeros((SIZE[1], SIZE[0]), dtype=np.uint8)
            cv2.fillConvexPoly(mask, cv2.convexHull(item.outline), 1, cv2.LINE_8, 4)
            masks.append(mask)
        for earlier in range(len(items)):
            for later in range(earlier + 1, len(items)):
                if (masks[earlier] & masks[later]).any():
                    pairs += 1
                    # Whoever stands nearer along the optical axis by a vehicle's length is drawn later.
                    assert items[later].depth_m < items[earlier].depth_m + 10
    assert pairs > 20
