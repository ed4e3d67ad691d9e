"""Draws projected actors onto the lit town: shadows first, then back to front, with motion blur."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from photofinish.synthetic.light import Light
from photofinish.synthetic.projection import ProjectedActor
from photofinish.synthetic.streets import Town
from photofinish.synthetic.traffic import BUS, CAR, TRUCK
from photofinish.synthetic.viewpoint import SHIFT, Pixels

CONTACT_SHADE = 150
"""Strength of a shadow when there is no sun, 255 being a full one."""
MIN_BLUR_PX = 0.8

DETAILED_PX = 80
"""Height from which the gaps in a silhouette count."""
SOLID_CLASSES = (CAR, TRUCK, BUS)

Region = tuple[slice, slice]


def _region(box: tuple[float, float, float, float], margin: int, size_wh: tuple[int, int]) -> Region | None:
    """Rows and columns of a box and its margin inside the picture, None when there are none."""
    left, top = max(int(box[0]) - margin, 0), max(int(box[1]) - margin, 0)
    right, bottom = min(int(box[2]) + margin + 1, size_wh[0]), min(int(box[3]) + margin + 1, size_wh[1])
    if right <= left or bottom <= top:
        return None
    return slice(top, bottom), slice(left, right)


def draw_shadows(
    canvas: Pixels, lit: Pixels, shade: Pixels, projected: list[ProjectedActor], town: Town, light: Light
) -> None:
    """Darken the ground under and beside every actor. Overlapping shadows do not add up."""
    strength = max(CONTACT_SHADE, int(255 * min(1.0, 0.25 + 1.6 * light.sun)))
    for item in projected:
        hull = cv2.convexHull(item.shadow)
        left, top, width, height = (edge / (1 << SHIFT) for edge in cv2.boundingRect(hull))
        # A rectangle of pixels is one larger than the distance of its corners.
        right, bottom = left + width - 1 / (1 << SHIFT), top + height - 1 / (1 << SHIFT)
        softness = 1 + int(min(9.0, town.view.focal_px * 0.12 / max(item.depth_m, 1.0)))
        region = _region((left, top, right, bottom), 2 + softness, town.view.size_wh)
        if region is None:
            continue
        rows, columns = region
        offset = np.array([columns.start, rows.start], dtype=np.int32) << SHIFT
        mask = np.zeros((rows.stop - rows.start, columns.stop - columns.start), dtype=np.uint8)
        cv2.fillConvexPoly(mask, hull - offset, strength, cv2.LINE_8, SHIFT)
        mask = cv2.blur(mask, (2 * softness + 1, 2 * softness + 1))
        darker = cv2.multiply(shade[region], cv2.merge([mask, mask, mask]), scale=1 / 255)
        darkened = cv2.subtract(lit[region], darker)
        cv2.min(canvas[region], darkened, dst=canvas[region])


def draw_faces(canvas: Pixels, item: ProjectedActor) -> None:
    """Draw one actor, every face with a smooth edge."""
    for corners, radius, colour in zip(item.corners, item.radii, item.colours, strict=True):
        if radius:
            cv2.circle(canvas, corners[0], radius, colour, -1, cv2.LINE_AA, SHIFT)
        else:
            cv2.fillConvexPoly(canvas, corners, colour, cv2.LINE_AA, SHIFT)


def draw_silhouette(mask: Pixels, item: ProjectedActor, value: int, offset_px: tuple[int, int]) -> None:
    """Set the pixels that an actor covers to `value`; offset_px moves it left and up.

    Vehicles and small actors cover their convex outline; the gaps between the limbs of large ones stay free.
    """
    offset = np.array(offset_px, dtype=np.int32) << SHIFT
    if item.actor.class_id in SOLID_CLASSES or item.box[3] - item.box[1] < DETAILED_PX:
        cv2.fillConvexPoly(mask, cv2.convexHull(item.outline - offset), value, cv2.LINE_8, SHIFT)
        return
    for corners, radius, is_decal in zip(item.corners, item.radii, item.decals, strict=True):
        if radius:
            cv2.circle(mask, corners[0] - offset, radius, value, -1, cv2.LINE_8, SHIFT)
        elif not is_decal:
            cv2.fillConvexPoly(mask, corners - offset, value, cv2.LINE_8, SHIFT)


def draw_actor(
    canvas: Pixels, item: ProjectedActor, static_depth: npt.NDArray[np.float32], nearest: float, town: Town
) -> bool:
    """Draw one actor behind whatever stands still in front of it; True when something does.

    static_depth: metres along the optical axis to trees, posts and houses, inf elsewhere; nearest: its minimum.
    """
    shift = item.blur_px
    margin = 3 + int(max(abs(shift[0]), abs(shift[1])) + 1)
    region = _region(item.box, margin, town.view.size_wh)
    if region is None:
        return False
    hidden = None
    if nearest < item.depth_m:
        hidden = (static_depth[region] < item.depth_m).astype(np.uint8)
        if not hidden.any():
            hidden = None
    before = canvas[region].copy() if hidden is not None else None
    draw_faces(canvas, item)
    if math.hypot(*shift) >= MIN_BLUR_PX:
        _smear(canvas[region], shift, item, region)
    if hidden is not None and before is not None:
        cv2.copyTo(before, hidden, canvas[region])
    return hidden is not None


def _smear(patch: Pixels, shift: tuple[float, float], item: ProjectedActor, region: Region) -> None:
    """Average the actor's surroundings over its movement, within the outline it sweeps."""
    taps = 3 if math.hypot(*shift) < 5 else 5
    height, width = patch.shape[:2]
    border = int(max(abs(shift[0]), abs(shift[1])) / 2 + 1) + 1
    if height <= 2 * border or width <= 2 * border:
        return
    total = np.zeros((height - 2 * border, width - 2 * border, 3), dtype=np.uint16)
    for tap in range(taps):
        share = tap / (taps - 1) - 0.5
        x, y = round(shift[0] * share), round(shift[1] * share)
        shifted = patch[border - y : height - border - y, border - x : width - border - x]
        total = cv2.add(total, shifted, dtype=cv2.CV_16U)
    mean = cv2.convertScaleAbs(total, alpha=1 / taps)
    corner = np.array([region[1].start + border, region[0].start + border], dtype=np.int32) << SHIFT
    half = np.rint(np.array(shift) * (1 << (SHIFT - 1))).astype(np.int32)
    swept = cv2.convexHull(np.concatenate([item.outline - corner - half, item.outline - corner + half]))
    mask = np.zeros(total.shape[:2], dtype=np.uint8)
    cv2.fillConvexPoly(mask, swept, 255, cv2.LINE_8, SHIFT)
    cv2.copyTo(mean, mask, patch[border:-border, border:-border])
