"""The little town of one seed: two crossing streets, their lanes and signals, and where the camera stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from photofinish.synthetic.viewpoint import View

LANE_M = 3.3
CYCLE_LANE_M = 1.9
CROSSING_GAP_M = 0.7
SIGNAL_CYCLE_S = 34.0
GREEN_S = 12.0
REFERENCE_WH = (1280, 720)

LaneKind = Literal["drive", "cycle", "walk"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Street:
    """Widths of one street, from its middle: carriageway, with cycle lane, with pavement; metres."""

    lanes_each_way: int
    has_cycle_lane: bool
    pavement_m: float

    @property
    def drive_m(self) -> float:
        """Half the carriageway for motor traffic."""
        return self.lanes_each_way * LANE_M

    @property
    def kerb_m(self) -> float:
        """From the middle to the kerb."""
        return self.drive_m + (CYCLE_LANE_M if self.has_cycle_lane else 0.35)

    @property
    def edge_m(self) -> float:
        """From the middle to the far side of the pavement."""
        return self.kerb_m + self.pavement_m


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """A straight way past one stop line.

    origin_xy: the stop line; heading_rad: direction of travel, 0 is east, counter-clockwise.
    green_start_s: when its signal turns green within SIGNAL_CYCLE_S. span_m: first and last position, the line at 0.
    """

    key: int
    kind: LaneKind
    origin_xy: tuple[float, float]
    heading_rad: float
    green_start_s: float
    span_m: tuple[float, float]
    half_width_m: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Town:
    """All that stays the same while a camera runs.

    avenue runs north and south through the origin, cross east and west; reach_m (east-west, north) is where both
    end in tunnels; sun_xyz points from the ground to the sun.
    """

    seed: int
    avenue: Street
    cross: Street
    reach_m: tuple[float, float]
    view: View
    sun_xyz: tuple[float, float, float]
    day_phase: float
    lanes: tuple[Lane, ...]


def town_from_seed(seed: int, size_wh: tuple[int, int]) -> Town:
    """The town and camera of one seed, for pictures of `size_wh`."""
    rng = np.random.default_rng([seed, 1])
    avenue = Street(
        lanes_each_way=int(rng.choice([1, 2], p=[0.45, 0.55])),
        has_cycle_lane=True,
        pavement_m=float(rng.uniform(3.2, 4.4)),
    )
    cross = Street(lanes_each_way=1, has_cycle_lane=bool(rng.random() < 0.7), pavement_m=float(rng.uniform(3.2, 4.2)))
    reach = (float(rng.uniform(44, 52)), float(rng.uniform(40, 50)))
    azimuth = rng.uniform(0, 2 * np.pi)
    elevation = rng.uniform(0.7, 1.05)
    sun = np.array([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)])
    view = _view_from_rng(rng, avenue, cross, size_wh)
    return Town(
        seed=seed,
        avenue=avenue,
        cross=cross,
        reach_m=reach,
        view=view,
        sun_xyz=(float(sun[0]), float(sun[1]), float(sun[2])),
        day_phase=float(rng.random()),
        lanes=tuple(_lanes(avenue, cross, reach)),
    )


def _view_from_rng(rng: np.random.Generator, avenue: Street, cross: Street, size_wh: tuple[int, int]) -> View:
    x = float(rng.uniform(-1.0, 1.0)) * (avenue.edge_m + 3)
    y = -(cross.edge_m + float(rng.uniform(10, 16)))
    height = float(rng.uniform(6.5, 9.5))
    target_x, target_y = rng.uniform(-3, 3), rng.uniform(1, 6)
    yaw = float(np.arctan2(target_x - x, target_y - y))
    distance = float(np.hypot(target_x - x, target_y - y))
    pitch = float(np.arctan2(height, distance)) + float(rng.uniform(-0.06, -0.01))
    scale = max(size_wh[0] / REFERENCE_WH[0], size_wh[1] / REFERENCE_WH[1])
    return View(
        position=(x, y, height),
        yaw_rad=yaw,
        pitch_rad=pitch,
        focal_px=float(rng.uniform(860, 1020)) * scale,
        size_wh=size_wh,
    )


def _lanes(avenue: Street, cross: Street, reach: tuple[float, float]) -> list[Lane]:
    """Every lane of the junction; the avenue is green first, the cross street half a cycle later."""
    lanes: list[Lane] = []
    for street, other, turn, green, ends in (
        (avenue, cross, np.pi / 2, 0.0, (70.0, reach[1])),
        (cross, avenue, 0.0, SIGNAL_CYCLE_S / 2, (reach[0], reach[0])),
    ):
        stop = other.edge_m + CROSSING_GAP_M
        for forward in (True, False):
            heading = turn + (0.0 if forward else np.pi)
            behind, ahead = ends if forward else ends[::-1]
            ways: list[tuple[LaneKind, float, float]] = [
                ("drive", LANE_M * (index + 0.5), LANE_M / 2) for index in range(street.lanes_each_way)
            ]
            if street.has_cycle_lane:
                ways.append(("cycle", street.drive_m + CYCLE_LANE_M / 2, 0.4))
            for kind, offset, half_width in ways:
                lanes.append(_lane(len(lanes), kind, heading, offset, stop, green, behind, ahead, half_width))
            for side in (-1.0, 1.0):
                offset = side * (street.kerb_m + street.pavement_m / 2)
                kerb = other.kerb_m + 0.5
                half_width = street.pavement_m / 2 - 0.6
                lanes.append(_lane(len(lanes), "walk", heading, offset, kerb, green, behind, ahead, half_width))
    return lanes


def _lane(
    key: int,
    kind: LaneKind,
    heading: float,
    offset_right: float,
    stop_before: float,
    green_start_s: float,
    behind: float,
    ahead: float,
    half_width: float,
) -> Lane:
    """A lane `offset_right` metres right of the street's middle, its line `stop_before` metres before the centre."""
    cos, sin = float(np.cos(heading)), float(np.sin(heading))
    origin = (-stop_before * cos + offset_right * sin, -stop_before * sin - offset_right * cos)
    return Lane(
        key=key,
        kind=kind,
        origin_xy=origin,
        heading_rad=float(heading),
        green_start_s=green_start_s,
        span_m=(stop_before - behind - 6, stop_before + ahead + 6),
        half_width_m=half_width,
    )
