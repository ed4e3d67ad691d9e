"""A pinhole camera over the ground plane: world metres to picture pixels."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]

NEAR_M = 0.6
"""Nothing closer than this along the optical axis is drawn."""
SEEN_BEYOND = 1.3
"""Polygons are cut this far outside the picture, as a share of its half size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Where the camera stands and looks. World axes: x east, y north, z up, metres.

    yaw_rad turns clockwise from north, pitch_rad looks down. Pixel positions count from the picture's
    top left corner, so the centre of the first pixel is (0.5, 0.5).
    """

    position: tuple[float, float, float]
    yaw_rad: float
    pitch_rad: float
    focal_px: float
    size_wh: tuple[int, int]
    rotation: Floats = field(init=False)

    def __post_init__(self) -> None:
        """Work out the rows right, down, forward."""
        sin_yaw, cos_yaw = np.sin(self.yaw_rad), np.cos(self.yaw_rad)
        sin_pitch, cos_pitch = np.sin(self.pitch_rad), np.cos(self.pitch_rad)
        right = np.array([cos_yaw, -sin_yaw, 0.0])
        forward = np.array([sin_yaw * cos_pitch, cos_yaw * cos_pitch, -sin_pitch])
        object.__setattr__(self, "rotation", np.stack([right, np.cross(forward, right), forward]))

    @property
    def centre_px(self) -> tuple[float, float]:
        """The principal point."""
        return self.size_wh[0] / 2, self.size_wh[1] / 2

    @property
    def horizon_px(self) -> float:
        """The picture row of the horizon."""
        return self.centre_px[1] - self.focal_px * float(np.tan(self.pitch_rad))

    def to_camera(self, points: Floats) -> Floats:
        """World points (n, 3) as right, down, forward metres (n, 3)."""
        camera: Floats = (points - np.array(self.position)) @ self.rotation.T
        return camera

    def project(self, points: Floats) -> tuple[Floats, Floats]:
        """Picture positions (n, 2) and depths (n,) of world points (n, 3); depths below NEAR_M are raised to it."""
        camera = self.to_camera(points)
        depth = np.maximum(camera[:, 2], NEAR_M)
        pixels = camera[:, :2] * (self.focal_px / depth)[:, None] + np.array(self.centre_px)
        return pixels, depth

    def project_polygon(self, points: Floats) -> Floats:
        """Picture corners of a flat polygon (n, 3), cut to a little more than what the camera sees: (m, 2).

        Nothing is left of a polygon outside the view: m is 0.
        """
        corners = self.to_camera(points)
        wide = SEEN_BEYOND * self.centre_px[0] / self.focal_px
        high = SEEN_BEYOND * self.centre_px[1] / self.focal_px
        for plane, offset in (
            ((0.0, 0.0, 1.0), NEAR_M),
            ((1.0, 0.0, wide), 0.0),
            ((-1.0, 0.0, wide), 0.0),
            ((0.0, 1.0, high), 0.0),
            ((0.0, -1.0, high), 0.0),
        ):
            inside = corners @ np.array(plane) - offset
            if (inside >= 0).all():
                continue
            corners = _cut(corners, inside)
            if len(corners) < 3:
                return np.empty((0, 2))
        pixels: Floats = corners[:, :2] * (self.focal_px / corners[:, 2:]) + np.array(self.centre_px)
        return pixels

    def ground_homography(self) -> Floats:
        """The 3x3 matrix from ground metres (x, y, 1) to picture pixels."""
        intrinsic = np.array(
            [[self.focal_px, 0, self.centre_px[0]], [0, self.focal_px, self.centre_px[1]], [0, 0, 1]], dtype=np.float64
        )
        columns = np.column_stack(
            [self.rotation[:, 0], self.rotation[:, 1], -self.rotation @ np.array(self.position, dtype=np.float64)]
        )
        homography: Floats = intrinsic @ columns
        return homography

    def enlarged(self, factor: int) -> View:
        """The same view with every pixel cut into factor x factor."""
        return View(
            position=self.position,
            yaw_rad=self.yaw_rad,
            pitch_rad=self.pitch_rad,
            focal_px=self.focal_px * factor,
            size_wh=(self.size_wh[0] * factor, self.size_wh[1] * factor),
        )


def _cut(corners: Floats, inside: Floats) -> Floats:
    """The part of a polygon (n, 3) where `inside` (n,), which is linear between corners, is not negative."""
    kept: list[Floats] = []
    for index in range(len(corners)):
        following = (index + 1) % len(corners)
        here, there = inside[index], inside[following]
        if here >= 0:
            kept.append(corners[index])
        if (here >= 0) != (there >= 0):
            kept.append(corners[index] + here / (here - there) * (corners[following] - corners[index]))
    return np.array(kept).reshape(-1, 3)


SHIFT = 4
"""Fractional bits of the coordinates OpenCV draws with."""


def drawing_points(pixels: Floats) -> npt.NDArray[np.int32]:
    """Picture positions as OpenCV's fixed-point coordinates, which count from pixel centres."""
    return np.rint(np.clip((pixels - 0.5) * (1 << SHIFT), -400_000, 400_000)).astype(np.int32)


def fill_polygon(image: Pixels, pixels: Floats, colour: tuple[float, ...]) -> None:
    """Fill one polygon (n, 2) with a smooth edge."""
    if len(pixels) >= 3:
        cv2.fillPoly(image, [drawing_points(pixels)], colour, cv2.LINE_AA, SHIFT)
