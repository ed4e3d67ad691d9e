"""Low-poly shapes and the builder that puts them together."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from photofinish.synthetic.viewpoint import Floats

MAX_CORNERS = 12
"""Corners of the largest face; shorter faces repeat their last corner."""


class Paint(IntEnum):
    """What colours a face: the first three are the actor's own, the others are the same for all."""

    MAIN = 0
    SECOND = 1
    THIRD = 2
    SKIN = 3
    DARK = 4
    GLASS = 5
    TYRE = 6
    METAL = 7
    WHITE = 8
    HEADLIGHT = 9
    TAIL_LIGHT = 10
    AMBER = 11


@dataclass(frozen=True, slots=True, kw_only=True)
class Mesh:
    """Faces of convex parts. Local axes: x forward, y left, z up, metres, the ground at z = 0.

    vertices (v, 3); corners (f, MAX_CORNERS) vertex indices; corner_count (f,), 1 for a ball, whose radius stands in
    radius; normal (f, 3) outward; paint (f,); shade (f,) brightness factor; order (f,) layer * 10 + decal rank;
    part (f,) index into part_centre (p, 3). footprint: smallest and largest local x, then y.
    """

    vertices: Floats
    corners: npt.NDArray[np.int64]
    corner_count: npt.NDArray[np.int64]
    radius: Floats
    normal: Floats
    paint: npt.NDArray[np.int64]
    shade: Floats
    order: Floats
    part: npt.NDArray[np.int64]
    part_centre: Floats
    footprint: tuple[float, float, float, float]


@dataclass(slots=True)
class MeshBuilder:
    """Collects parts, then `build()`s the mesh. Layers with a higher number are drawn over lower ones."""

    vertices: list[Floats] = field(default_factory=list)
    faces: list[tuple[list[int], int, float, float, int, Floats, float]] = field(default_factory=list)
    part_centres: list[Floats] = field(default_factory=list)

    def loft(
        self,
        bottom: tuple[float, float, float, float],
        top: tuple[float, float, float, float],
        z: tuple[float, float],
        paint: Paint,
        *,
        layer: int = 0,
        roof: Paint | None = None,
    ) -> dict[str, Floats]:
        """A box whose bottom and top are rectangles (x0, x1, y0, y1); returns its named faces for decals."""
        (bx0, bx1, by0, by1), (tx0, tx1, ty0, ty1) = bottom, top
        low = [(bx0, by0), (bx1, by0), (bx1, by1), (bx0, by1)]
        high = [(tx0, ty0), (tx1, ty0), (tx1, ty1), (tx0, ty1)]
        corners = np.array([(x, y, z[0]) for x, y in low] + [(x, y, z[1]) for x, y in high], dtype=np.float64)
        quads = {
            "right": [0, 1, 5, 4],
            "front": [1, 2, 6, 5],
            "left": [2, 3, 7, 6],
            "back": [3, 0, 4, 7],
            "top": [4, 5, 6, 7],
        }
        part = self._part(corners)
        for name, quad in quads.items():
            self._face(corners[quad], roof if roof is not None and name == "top" else paint, part, layer)
        return {name: corners[quad] for name, quad in quads.items()}

    def prism(
        self,
        profile_xz: list[tuple[float, float]],
        half_width: float,
        paint: Paint,
        *,
        layer: int = 0,
        y: float = 0.0,
        skipped: tuple[int, ...] = (),
    ) -> dict[str, Floats]:
        """A convex side profile, given in order, drawn out to both sides; returns its two sides.

        skipped: edges of the profile, by their first corner, that get no face because other parts cover them.
        """
        left = np.array([(x, y + half_width, z) for x, z in profile_xz], dtype=np.float64)
        right = np.array([(x, y - half_width, z) for x, z in profile_xz], dtype=np.float64)
        part = self._part(np.concatenate([left, right]))
        self._face(left, paint, part, layer)
        self._face(right, paint, part, layer)
        for index in range(len(profile_xz)):
            if index in skipped:
                continue
            following = (index + 1) % len(profile_xz)
            self._face(np.array([left[index], left[following], right[following], right[index]]), paint, part, layer)
        return {"left": left, "right": right}

    def decal(
        self,
        quad: Floats,
        span_uv: tuple[float, float, float, float],
        paint: Paint,
        *,
        layer: int = 0,
        rank: int = 1,
        shade: float = 1.0,
    ) -> None:
        """A patch of the last part's face; u runs along the quad's first edge, v from it to the opposite one."""
        u0, u1, v0, v1 = span_uv
        corners = [
            (1 - v) * ((1 - u) * quad[0] + u * quad[1]) + v * ((1 - u) * quad[3] + u * quad[2])
            for u, v in ((u0, v0), (u1, v0), (u1, v1), (u0, v1))
        ]
        self._face(np.array(corners), paint, len(self.part_centres) - 1, layer, rank=rank, shade=shade)

    def end_patch(
        self, x: float, y: tuple[float, float], z: tuple[float, float], paint: Paint, *, facing: float, layer: int = 0
    ) -> None:
        """An upright rectangle across the mesh, seen from ahead (facing 1), from behind (-1), or from both (0)."""
        corners = np.array([(x, y[0], z[0]), (x, y[1], z[0]), (x, y[1], z[1]), (x, y[0], z[1])], dtype=np.float64)
        self._face(corners, paint, self._part(corners), layer, rank=4, normal=np.array([facing, 0.0, 0.0]))

    def disc(
        self,
        centre: tuple[float, float, float],
        radius: float,
        paint: Paint,
        *,
        layer: int = 0,
        rank: int = 2,
        sides: int = 12,
        facing: float = 0.0,
        shade: float = 1.0,
    ) -> None:
        """An upright disc in the x-z plane, seen from the side whose y sign is `facing`, 0 from both."""
        angles = np.linspace(0, 2 * np.pi, sides, endpoint=False) + np.pi / sides
        points = np.array(centre) + radius * np.stack([np.cos(angles), 0 * angles, np.sin(angles)], axis=1)
        part = self._part(points)
        self._face(points, paint, part, layer, rank=rank, shade=shade, normal=np.array([0.0, facing, 0.0]))

    def ring(
        self, centre: tuple[float, float, float], radii: tuple[float, float], paint: Paint, *, layer: int = 0
    ) -> None:
        """An upright flat ring in the x-z plane, seen from both sides."""
        angles = np.linspace(0, 2 * np.pi, 10)
        spokes = np.stack([np.cos(angles), 0 * angles, np.sin(angles)], axis=1)
        outer, inner = (np.array(centre) + radius * spokes for radius in radii)
        part = self._part(outer[:-1])
        for index in range(len(angles) - 1):
            quad = np.array([outer[index], outer[index + 1], inner[index + 1], inner[index]])
            self._face(quad, paint, part, layer, normal=np.zeros(3))

    def ball(
        self, centre: tuple[float, float, float], radius: float, paint: Paint, *, layer: int = 0, shade: float = 1.0
    ) -> None:
        """A ball, drawn as a filled circle."""
        point = np.array([centre], dtype=np.float64)
        part = self._part(point)
        self._face(point, paint, part, layer, normal=np.zeros(3), radius=radius, shade=shade)
        # No face uses these: they give outlines and shadows the ball's extent.
        self.vertices.extend(point[0] + radius * direction for direction in np.concatenate([np.eye(3), -np.eye(3)]))

    def _part(self, corners: Floats) -> int:
        self.part_centres.append(corners.mean(axis=0))
        return len(self.part_centres) - 1

    def _face(
        self,
        corners: Floats,
        paint: Paint,
        part: int,
        layer: int,
        *,
        rank: int = 0,
        shade: float = 1.0,
        normal: Floats | None = None,
        radius: float = 0.0,
    ) -> None:
        first = len(self.vertices)
        self.vertices.extend(corners)
        if normal is None:
            normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
            length = float(np.linalg.norm(normal))
            normal = normal / length if length else np.array([0.0, 0.0, 1.0])
            if normal @ (corners.mean(axis=0) - self.part_centres[part]) < 0:
                normal = -normal
        indices = list(range(first, first + len(corners)))
        self.faces.append((indices, int(paint), shade, layer * 10.0 + rank, part, normal, radius))

    def build(self) -> Mesh:
        """The finished mesh."""
        vertices, place = np.unique(np.array(self.vertices).round(6), axis=0, return_inverse=True)
        corners = np.array([face[0] + [face[0][-1]] * (MAX_CORNERS - len(face[0])) for face in self.faces])
        low, high = vertices.min(axis=0).tolist(), vertices.max(axis=0).tolist()
        return Mesh(
            vertices=vertices,
            footprint=(low[0], high[0], low[1], high[1]),
            corners=place.reshape(-1)[corners],
            corner_count=np.array([len(face[0]) for face in self.faces]),
            paint=np.array([face[1] for face in self.faces]),
            shade=np.array([face[2] for face in self.faces]),
            order=np.array([face[3] for face in self.faces]),
            part=np.array([face[4] for face in self.faces]),
            normal=np.array([face[5] for face in self.faces]),
            radius=np.array([face[6] for face in self.faces]),
            part_centre=np.array(self.part_centres),
        )
