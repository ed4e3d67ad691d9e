"""The static picture of a town, painted once: what the camera sees when nobody is about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from photofinish.synthetic.ground import GroundTexture, paint_ground
from photofinish.synthetic.palette import bgr
from photofinish.synthetic.pieces import Blob, Item, Panel, Signal
from photofinish.synthetic.scenery import scenery_items
from photofinish.synthetic.streets import GREEN_S, SIGNAL_CYCLE_S, Town
from photofinish.synthetic.viewpoint import SHIFT, Pixels, View, drawing_points, fill_polygon

SKY_TOP, SKY_LOW = bgr("#8fbbe0"), bgr("#e6eef2")
HILLS = (bgr("#a9c0b0"), bgr("#8fae8f"), bgr("#7d9f78"))
SUPERSAMPLING = 2
STATIC_SHADOW = 0.62
BAND_ROWS = 16
"""Rows that are computed at once: their floats stay in the processor's cache, where a whole picture's would not."""
AMBER_S = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalLamps:
    """A traffic light in the picture: centres of its green, amber and red lamp and their radius, in fixed point."""

    centres: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
    radius: int
    green_start_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Backdrop:
    """albedo: the town in white light; glow: what its lamps and windows add; ground: 255 where nothing
    stands; all (h, w, 3), blue first.

    depth_m: (h, w) float32 metres along the optical axis to what stands above the ground, inf elsewhere;
    nearest_m is its minimum.
    """

    albedo: Pixels
    glow: Pixels
    ground: Pixels
    depth_m: npt.NDArray[np.float32]
    nearest_m: float
    signals: tuple[SignalLamps, ...]

    def draw_signals(self, canvas: Pixels, time_s: float) -> None:
        """Light the traffic lights."""
        for signal in self.signals:
            since = (time_s - signal.green_start_s) % SIGNAL_CYCLE_S
            if since < GREEN_S:
                colour, lamp = (110, 220, 60), 0
            elif since < GREEN_S + AMBER_S:
                colour, lamp = (40, 180, 250), 1
            else:
                colour, lamp = (50, 50, 240), 2
            cv2.circle(canvas, signal.centres[lamp], signal.radius, colour, -1, cv2.LINE_AA, SHIFT)


def _signal_lamps(signal: Signal, view: View) -> SignalLamps:
    x, y, z = signal.lamp
    pixels, depth = view.project(np.array([[x, y, z + rise] for rise in (-0.26, 0.0, 0.26)]))
    centres = [(int(px), int(py)) for px, py in drawing_points(pixels).tolist()]
    radius = max(1.0, 0.11 * view.focal_px / float(depth[1]))
    return SignalLamps(
        centres=(centres[0], centres[1], centres[2]),
        radius=int(radius * (1 << SHIFT)),
        green_start_s=signal.green_start_s,
    )


def backdrop_from_town(town: Town) -> Backdrop:
    """Paint a town's static picture at twice the size, then shrink it."""
    large = town.view.enlarged(SUPERSAMPLING)
    width, height = large.size_wh
    image = np.zeros((height, width, 3), dtype=np.uint8)
    paint_sky(image, large, town.seed)
    sky = image.copy()
    paint_ground(image, town, large)
    items, signals = scenery_items(town)
    shadow = _shadow_mask(items, town, large)
    grain = GroundTexture(large, town.seed)
    first_row = int(np.clip(np.ceil(large.horizon_px), 0, height))
    for band in _bands(first_row, height):
        texture = grain.rows(band) * (1 - (1 - STATIC_SHADOW) * (shadow[band] / 255.0))
        ground = image[band] * texture[:, :, None]
        image[band] = np.clip(ground, 0, 255, out=ground).astype(np.uint8)
    image[:first_row] = sky[:first_row]
    glow = np.zeros_like(image)
    depth = np.full((town.view.size_wh[1], town.view.size_wh[0]), np.inf, dtype=np.float32)
    for item in items:
        item_depth = float(town.view.to_camera(np.array([(*item.place_xy, 0.0)]))[0, 2])
        for piece in item.pieces:
            _draw_piece(image, glow, piece, large)
            if piece.solid:
                _draw_depth(depth, piece, town.view, item_depth)
    small = town.view.size_wh
    lamps = np.asarray(cv2.resize(glow, small, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    _add_halos(lamps, items, town.view)
    return Backdrop(
        albedo=np.asarray(cv2.resize(image, small, interpolation=cv2.INTER_AREA), dtype=np.uint8),
        glow=lamps,
        ground=np.repeat(np.where(np.isinf(depth), 255, 0).astype(np.uint8)[..., None], 3, axis=2),
        depth_m=depth,
        nearest_m=float(depth.min()),
        signals=tuple(_signal_lamps(signal, town.view) for signal in signals),
    )


def _bands(first_row: int, end_row: int) -> Iterator[slice]:
    """These rows of a picture, a few at a time."""
    return (slice(row, min(row + BAND_ROWS, end_row)) for row in range(first_row, end_row, BAND_ROWS))


def _shadow_mask(items: list[Item], town: Town, view: View) -> Pixels:
    """How much of the sun each pixel (h, w) of the ground loses to the scenery, 0..255."""
    mask = np.zeros((view.size_wh[1], view.size_wh[0]), dtype=np.uint8)
    sun = town.sun_xyz
    for item in items:
        if not len(item.outline):
            continue
        cast = item.outline.copy()
        cast[:, 0] -= cast[:, 2] * sun[0] / sun[2]
        cast[:, 1] -= cast[:, 2] * sun[1] / sun[2]
        hull = cv2.convexHull(cast[:, :2].astype(np.float32))[:, 0]
        corners = np.column_stack([hull, np.zeros(len(hull))]).astype(np.float64)
        fill_polygon(mask, view.project_polygon(corners), (255,))
    size = 2 * (view.size_wh[1] // 300) + 1
    return np.asarray(cv2.blur(mask, (size, size)), dtype=np.uint8)


def _draw_piece(image: Pixels, glow: Pixels, piece: Panel | Blob, view: View) -> None:
    """Draw a piece, its own light into `glow`; a dark piece hides the light behind it."""
    lit = piece.glow if piece.glow is not None else (0.0, 0.0, 0.0)
    if isinstance(piece, Panel):
        pixels = view.project_polygon(piece.corners)
        fill_polygon(image, pixels, piece.colour)
        fill_polygon(glow, pixels, tuple(0.75 * value for value in lit))
        return
    centre, depth, radius = _circle(piece, view)
    if depth > 1:
        cv2.circle(image, centre, radius, piece.colour, -1, cv2.LINE_AA, SHIFT)
        cv2.circle(glow, centre, radius, lit, -1, cv2.LINE_AA, SHIFT)


def _circle(piece: Blob, view: View) -> tuple[tuple[int, int], float, int]:
    """Centre and radius in OpenCV's fixed point, and the depth, of a ball."""
    pixels, depth = view.project(np.array([piece.centre]))
    radius = piece.radius * view.focal_px / float(depth[0])
    x, y = drawing_points(pixels)[0].tolist()
    return (x, y), float(view.to_camera(np.array([piece.centre]))[0, 2]), int(radius * (1 << SHIFT))


def _draw_depth(depth: npt.NDArray[np.float32], piece: Panel | Blob, view: View, item_depth: float) -> None:
    """Note how far away a solid piece is: a large panel by its plane, everything else by where the item stands."""
    mask = np.zeros(depth.shape, dtype=np.uint8)
    if isinstance(piece, Blob):
        centre, ahead, radius = _circle(piece, view)
        if ahead > 1:
            cv2.circle(mask, centre, radius, 255, -1, cv2.LINE_8, SHIFT)
        depth[mask > 0] = item_depth
        return
    pixels = view.project_polygon(piece.corners)
    if len(pixels) < 3:
        return
    cv2.fillPoly(mask, [drawing_points(pixels)], 255, cv2.LINE_8, SHIFT)
    span = float(np.ptp(piece.corners[:, :2], axis=0).max())
    if span < 1.0:
        depth[mask > 0] = item_depth
        return
    camera = view.to_camera(piece.corners)
    normal = np.cross(camera[1] - camera[0], camera[2] - camera[0])
    low = np.maximum(np.floor(pixels.min(axis=0)).astype(int) - 1, 0)
    high = np.maximum(np.ceil(pixels.max(axis=0)).astype(int) + 2, 0)
    rows, columns = np.nonzero(mask[low[1] : high[1], low[0] : high[0]])
    rows, columns = rows + low[1], columns + low[0]
    rays = np.stack(
        [
            (columns + 0.5 - view.centre_px[0]) / view.focal_px,
            (rows + 0.5 - view.centre_px[1]) / view.focal_px,
            np.ones(len(rows)),
        ],
        axis=1,
    )
    steepness = rays @ normal
    steepness[np.abs(steepness) < 1e-9] = 1e-9
    depth[rows, columns] = ((normal @ camera[0]) / steepness).astype(np.float32)


def _add_halos(glow: Pixels, items: list[Item], view: View) -> None:
    """The light of street lamps in the air around them and on the ground below."""
    halo = np.zeros_like(glow)
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    lamps = [piece for item in items for piece in item.pieces if isinstance(piece, Blob) and piece.glow is not None]
    for reach in (5.5, 4.2, 2.8, 1.6):
        layer = np.zeros_like(glow)
        for lamp in lamps:
            x, y, _ = lamp.centre
            pool = np.stack([x + reach * np.cos(angles), y + reach * np.sin(angles), 0 * angles], axis=1)
            tint = tuple(0.09 * value for value in lamp.glow or ())
            fill_polygon(layer, view.project_polygon(pool), tint)
        cv2.add(halo, layer, dst=halo)
    for lamp in lamps:
        centre, depth, radius = _circle(lamp, view)
        if depth > 1:
            tint = tuple(0.5 * value for value in lamp.glow or ())
            cv2.circle(halo, centre, radius * 3, tint, -1, cv2.LINE_AA, SHIFT)
    size = 2 * (view.size_wh[1] // 90) + 1
    cv2.add(glow, cv2.blur(cv2.blur(halo, (size, size)), (size, size)), dst=glow)


def paint_sky(image: Pixels, view: View, seed: int) -> None:
    """Sky gradient, clouds and three rows of hills, down to the horizon."""
    rng = np.random.default_rng([seed, 5])
    width, height = view.size_wh
    horizon = view.horizon_px
    rows = int(np.clip(horizon + 2, 1, height))
    share = np.clip((np.arange(rows) - horizon + height * 0.45) / (height * 0.45), 0, 1)[:, None, None]
    clouds = np.zeros((rows, width), dtype=np.uint8)
    for _ in range(9):
        centre = (int(rng.uniform(0, width)), int(horizon - height * rng.uniform(0.05, 0.3)))
        for _ in range(4):
            at = (int(centre[0] + rng.normal(0, width * 0.03)), int(centre[1] + rng.normal(0, height * 0.006)))
            size = (int(width * rng.uniform(0.02, 0.05)), int(height * rng.uniform(0.006, 0.016)) + 1)
            cv2.ellipse(clouds, at, size, 0, 0, 360, 170, -1, cv2.LINE_AA)
    clouds = np.asarray(cv2.blur(clouds, (height // 80 + 1, height // 80 + 1)), dtype=np.uint8)
    sky = np.array(SKY_TOP) * (1 - share) + np.array(SKY_LOW) * share
    for band in _bands(0, rows):
        cover = (clouds[band] / 255.0)[..., None]
        image[band] = (sky[band] * (1 - cover) + 250 * cover).astype(np.uint8)
    columns = np.arange(0, width + 8, 8)
    bearing = view.yaw_rad + np.arctan((columns - width / 2) / view.focal_px)
    for row, colour in enumerate(HILLS):
        waves = sum(
            np.sin(bearing * rate + rng.uniform(0, 7)) / (1 + index) for index, rate in enumerate((5.0, 11.0, 23.0))
        )
        rise = view.focal_px * (0.075 - 0.02 * row + 0.016 * np.asarray(waves))
        top = np.stack([columns, horizon - rise], axis=1)
        outline = np.concatenate([top, [[width + 8, height], [0, height]]])
        fill_polygon(image, outline, colour)
