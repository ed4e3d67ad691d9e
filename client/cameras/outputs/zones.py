"""Which boxes of a frame stand in which zones of its camera."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from photofinish.client.cameras.values.camera import Zone
from photofinish.client.cameras.values.outcome import Inferred


def zones_of_boxes(result: Inferred) -> tuple[tuple[str, ...], ...]:
    """For each box, best first, the names of the zones that it stands in, in the order of the camera's row.

    A box stands where the middle of its lower side is: the feet of a person, the wheels of a car. The border belongs
    to the zone, so a box at the picture's lower edge stands in a zone that ends there.
    """
    feet_xy = _feet_from_boxes(result.detections.boxes_xyxy, result.size_wh)
    inside = [(zone.name, _is_inside(feet_xy, zone, result.size_wh)) for zone in result.zones]
    return tuple(tuple(name for name, holds in inside if holds[number]) for number in range(len(feet_xy)))


def _feet_from_boxes(boxes_xyxy: npt.NDArray[np.float32], size_wh: tuple[int, int]) -> npt.NDArray[np.float32]:
    """The middle of each box's lower side, within the picture: (n, 2) float32 in pixels."""
    feet = np.stack([(boxes_xyxy[:, 0] + boxes_xyxy[:, 2]) / 2, boxes_xyxy[:, 3]], axis=1)
    return np.asarray(np.clip(feet, 0, np.array(size_wh, np.float32)), dtype=np.float32)


def _is_inside(points_xy: npt.NDArray[np.float32], zone: Zone, size_wh: tuple[int, int]) -> list[bool]:
    """Whether each point lies in the zone or on its border."""
    polygon = np.array(zone.points_xy, np.float32) * np.array(size_wh, np.float32)
    return [cv2.pointPolygonTest(polygon, (float(x), float(y)), False) >= 0 for x, y in points_xy]


def count_by_zone(result: Inferred, names: list[str]) -> dict[str, dict[str, int]]:
    """How many of each class stand in each zone. names: of the class of each box. Zones without a box are {}."""
    counts: dict[str, dict[str, int]] = {zone.name: {} for zone in result.zones}
    for name, zones in zip(names, zones_of_boxes(result), strict=True):
        for zone in zones:
            counts[zone][name] = counts[zone].get(name, 0) + 1
    return counts
