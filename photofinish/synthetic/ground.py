"""Paints the ground of a town as its camera sees it: grass, pavements, asphalt and markings."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from photofinish.synthetic.palette import Colour, bgr
from photofinish.synthetic.streets import CROSSING_GAP_M, LANE_M, Street, Town
from photofinish.synthetic.viewpoint import Floats, Pixels, View, fill_polygon

GRASS = bgr("#86a86a")
PAVING = bgr("#c9c0b0")
JOINT = bgr("#b5ab9a")
KERB = bgr("#e0dacd")
ASPHALT = bgr("#6f737b")
CYCLE_ASPHALT = bgr("#9c6a5c")
MARKING = bgr("#eeece4")
FAR_M = 400.0
TILE_PX = 512


def paint_ground(image: Pixels, town: Town, view: View) -> None:
    """Fill everything below the horizon."""
    painter = _Painter(image, view)
    painter.rectangle((-FAR_M, FAR_M), (-FAR_M, FAR_M), GRASS)
    reach_x, reach_y = town.reach_m
    avenue, cross = town.avenue, town.cross
    spans = ((-90.0, reach_y), (-reach_x, reach_x))
    for street, span, upright in ((avenue, spans[0], True), (cross, spans[1], False)):
        painter.strip(span, (-street.edge_m, street.edge_m), PAVING, upright)
    for street, other, span, upright in ((avenue, cross, spans[0], True), (cross, avenue, spans[1], False)):
        _paint_joints(painter, street, other, span, upright)
        for side in (-1.0, 1.0):
            across = sorted((side * street.kerb_m, side * (street.kerb_m + 0.3)))
            painter.strip(span, (across[0], across[1]), KERB, upright)
    for street, span, upright in ((avenue, spans[0], True), (cross, spans[1], False)):
        painter.strip(span, (-street.kerb_m, street.kerb_m), ASPHALT, upright)
    for street, other, span, upright in ((avenue, cross, spans[0], True), (cross, avenue, spans[1], False)):
        _paint_markings(painter, street, other, span, upright)


class _Painter:
    """Fills rectangles of the ground plane."""

    def __init__(self, image: Pixels, view: View) -> None:
        self._image = image
        self._view = view

    def rectangle(self, x: tuple[float, float], y: tuple[float, float], colour: Colour) -> None:
        """Fill x and y ranges in world metres."""
        corners = np.array([(x[0], y[0], 0.0), (x[1], y[0], 0.0), (x[1], y[1], 0.0), (x[0], y[1], 0.0)])
        fill_polygon(self._image, self._view.project_polygon(corners), colour)

    def strip(self, along: tuple[float, float], across: tuple[float, float], colour: Colour, upright: bool) -> None:
        """Fill a range along and across a street; upright streets run north and south."""
        x, y = (across, along) if upright else (along, across)
        self.rectangle(x, y, colour)


def _paint_joints(painter: _Painter, street: Street, other: Street, span: tuple[float, float], upright: bool) -> None:
    """Slab joints of the pavements, left out where the other street crosses."""
    for at in np.arange(max(span[0], -40.0), span[1], 1.5).tolist():
        if abs(at) > other.edge_m:
            for side in (-1.0, 1.0):
                across = sorted((side * (street.kerb_m + 0.3), side * street.edge_m))
                painter.strip((at, at + 0.05), (across[0], across[1]), JOINT, upright)
    for side in (-1.0, 1.0):
        middle = side * (street.kerb_m + street.pavement_m / 2)
        for start, end in ((span[0], -other.kerb_m), (other.kerb_m, span[1])):
            painter.strip((start, end), (middle - 0.025, middle + 0.025), JOINT, upright)


def _paint_markings(painter: _Painter, street: Street, other: Street, span: tuple[float, float], upright: bool) -> None:
    stop = other.edge_m + CROSSING_GAP_M
    for start, end in ((span[0], -stop), (stop, span[1])):
        if street.has_cycle_lane:
            for side in (-1.0, 1.0):
                across = sorted((side * (street.drive_m + 0.12), side * (street.kerb_m - 0.05)))
                painter.strip((start, end), (across[0], across[1]), CYCLE_ASPHALT, upright)
                painter.strip(
                    (start, end), (side * street.drive_m - 0.07, side * street.drive_m + 0.07), MARKING, upright
                )
        for middle in (-0.16, 0.16) if street.lanes_each_way > 1 else (0.0,):
            painter.strip((start, end), (middle - 0.06, middle + 0.06), MARKING, upright)
        for index in range(1, street.lanes_each_way):
            for side in (-1.0, 1.0):
                middle = side * index * LANE_M
                for at in np.arange(start, end, 4.5).tolist():
                    painter.strip((at, min(at + 2.2, end)), (middle - 0.06, middle + 0.06), MARKING, upright)
    # A stop line lies before the junction on the right-hand side of travel.
    right = 1.0 if upright else -1.0
    for sign in (-1.0, 1.0):
        across = sorted((0.0, -sign * right * street.kerb_m))
        along = sorted((sign * (stop + 0.1), sign * (stop + 0.55)))
        painter.strip((along[0], along[1]), (across[0], across[1]), MARKING, upright)
        middle = sign * (other.kerb_m + other.pavement_m / 2)
        half = min(other.pavement_m / 2 - 0.3, 1.7)
        for at in np.arange(-street.kerb_m + 0.35, street.kerb_m - 0.4, 1.0).tolist():
            painter.strip((middle - half, middle + half), (at, at + 0.5), MARKING, upright)


class GroundTexture:
    """Brightness factors around 1: fine grain and large stains lying on the ground plane."""

    def __init__(self, view: View, seed: int) -> None:
        self._height = view.size_wh[1]
        self._horizon_px = view.horizon_px
        self._layers = list(_texture_layers(view, seed))

    def rows(self, band: slice) -> Floats:
        """The factors (rows, w) of some rows of the picture."""
        total = np.ones(self._layers[0][band].shape)
        for layer in self._layers:
            total += layer[band]
        # Towards the horizon one pixel covers many tiles: fade the grain out there.
        rows = np.arange(band.start, band.stop)[:, None] - self._horizon_px
        fade = np.clip(rows / (self._height * 0.35), 0.0, 1.0)
        faded: Floats = 1.0 + (total - 1.0) * fade
        return faded


def _texture_layers(view: View, seed: int) -> Iterator[npt.NDArray[np.float32]]:
    rng = np.random.default_rng([seed, 4])
    to_picture = view.ground_homography()
    middle = slice(TILE_PX // 2, TILE_PX // 2 + TILE_PX)
    for metres, strength, sigma in ((10.0, 0.03, 1.2), (40.0, 0.05, 14.0)):
        noise = rng.normal(0, 1, (TILE_PX, TILE_PX)).astype(np.float32)
        wrapped = np.tile(noise, (2, 2))  # half a tile on each side is more than the blur reaches
        wrapped = np.roll(wrapped, (TILE_PX // 2, TILE_PX // 2), (0, 1))
        smooth = cv2.GaussianBlur(wrapped, (0, 0), sigma)[middle, middle]
        smooth = strength * smooth / float(np.std(smooth))
        scale = metres / TILE_PX
        to_ground = np.diag([scale, scale, 1.0])
        warped = cv2.warpPerspective(
            smooth, to_picture @ to_ground, view.size_wh, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
        )
        yield np.asarray(warped, dtype=np.float32)
