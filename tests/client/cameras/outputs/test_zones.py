"""Zones: where a box stands, borders, several zones, and none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from photofinish.client.cameras.outputs.json_lines import line_from_inferred
from photofinish.client.cameras.outputs.zones import count_by_zone, zones_of_boxes
from photofinish.client.cameras.values.camera import Zone
from photofinish.client.cameras.values.outcome import Inferred
from photofinish.detections import Detections
from tests.client.cameras.outputs.test_json_lines import inferred

LEFT = Zone(name="left", points_xy=((0, 0), (0.5, 0), (0.5, 1), (0, 1)))
FLOOR = Zone(name="floor", points_xy=((0, 0.5), (1, 0.5), (1, 1), (0, 1)))


def with_boxes(*boxes: tuple[float, float, float, float], zones: tuple[Zone, ...] = (LEFT, FLOOR)) -> Inferred:
    found = Detections(
        boxes_xyxy=np.array(boxes, np.float32).reshape(-1, 4),
        confidence=np.full(len(boxes), 0.5, np.float32),
        class_id=np.arange(len(boxes), dtype=np.int32) % 2,
    )
    return replace(inferred(), detections=found, zones=zones)


@pytest.mark.parametrize(
    ("box", "zones"),
    [
        ((100, 50, 140, 100), ("left",)),
        ((100, 50, 140, 300), ("left", "floor")),
        ((400, 50, 440, 100), ()),
        ((400, 0, 440, 200), ("floor",)),
        ((300, 0, 340, 180), ("left", "floor")),
        ((600, 300, 700, 400), ("floor",)),
    ],
)
def test_a_box_stands_where_its_lower_side_is(box: tuple[float, float, float, float], zones: tuple[str, ...]) -> None:
    assert zones_of_boxes(with_boxes(box)) == (zones,)


def test_counts_are_by_zone_and_class_and_empty_zones_stand_there() -> None:
    result = with_boxes((0, 0, 20, 20), (0, 0, 20, 30), (10, 0, 30, 40))
    assert count_by_zone(result, ["car", "person", "car"]) == {"left": {"car": 2, "person": 1}, "floor": {}}
    assert count_by_zone(with_boxes(), []) == {"left": {}, "floor": {}}


def test_lines_tell_zones_only_of_cameras_that_have_some() -> None:
    (told,) = line_from_inferred(with_boxes((100, 50, 140, 300)))["detections"]
    assert told["zones"] == ["left", "floor"]
    (told,) = line_from_inferred(with_boxes((100, 50, 140, 300), zones=()))["detections"]
    assert "zones" not in told
