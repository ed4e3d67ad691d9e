"""All actors of a moment as flat faces in the picture, in the order they must be drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from photofinish.synthetic.crowd import Crowd, Faces
from photofinish.synthetic.draw_order import draw_ranks
from photofinish.synthetic.light import Light, face_colours
from photofinish.synthetic.streets import Town
from photofinish.synthetic.traffic import Actor
from photofinish.synthetic.viewpoint import NEAR_M, SHIFT, Floats, drawing_points

QUAD = 4
"""Corners of nearly every face."""
EDGE_PX = 0.5
"""How far OpenCV's smooth edges reach beyond a face."""
MIN_FACE_PX = 1.2
"""Decals whose picture is smaller than this in both directions are not drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectedActor:
    """One actor's picture.

    corners: one polygon (k, 2) per face, from back to front, or a ball's centre (1, 2); radii: 0 except for balls;
    colours: blue first; decals: whether a face lies on another one of its part. outline: all corners, (v, 2);
    shadow: the same on the ground, straight below and away from the sun, (2v, 2). All these are in OpenCV's fixed
    point. blur_px: movement while the shutter is open. box: left, top, right, bottom of everything drawn, not
    clipped. depth_m along the optical axis. shown_share: how much of it has come out of the tunnel.
    """

    actor: Actor
    corners: list[npt.NDArray[np.int32]]
    radii: list[int]
    colours: list[list[float]]
    decals: list[bool]
    outline: npt.NDArray[np.int32]
    shadow: npt.NDArray[np.int32]
    blur_px: tuple[float, float]
    box: tuple[float, float, float, float]
    depth_m: float
    shown_share: float


def project_actors(actors: list[Actor], town: Town, light: Light) -> list[ProjectedActor]:
    """The actors that can be seen, farthest first."""
    actors = _within_view(actors, town)
    if not actors:
        return []
    heading = [actor.heading_rad for actor in actors]
    crowd = Crowd(
        actors=actors,
        place=np.array([(*actor.position_xy, 0.0) for actor in actors]),
        cos=np.cos(heading),
        sin=np.sin(heading),
        size=np.array([actor.size for actor in actors]),
    )
    whole = crowd.to_world(crowd.joined("vertices"), crowd.owners("vertices"))
    vertices = _outside_tunnels(whole, town)
    starts = np.cumsum([0, *crowd.counts("vertices")])
    shown = _shown_shares(whole, vertices, starts)
    pixels, depth = town.view.project(vertices)
    faces = _faces_in_order(crowd, vertices, pixels, depth, town)

    outline = drawing_points(pixels)
    under, cast = _shadow_outlines(vertices, town, light)
    blur = _blur(actors, town, light).tolist()
    colours = face_colours(crowd, faces, town, light).tolist()
    polygons = _polygons(crowd, faces, outline)
    radii = np.rint(faces.radius_px * (1 << SHIFT)).astype(int).tolist()
    decals = faces.is_decal.tolist()
    centre_depth = town.view.to_camera(crowd.place)[:, 2].tolist()
    # Faces lie in drawing order, so each actor's are neighbours.
    firsts = np.flatnonzero(np.diff(faces.owner, prepend=-1))
    lefts_tops = (np.minimum.reduceat(faces.low, firsts, axis=0) - EDGE_PX).tolist()
    rights_bottoms = (np.maximum.reduceat(faces.high, firsts, axis=0) + EDGE_PX).tolist()
    edges = [*firsts.tolist(), len(faces.owner)]
    projected: list[ProjectedActor] = []
    for number, owner in enumerate(faces.owner[firsts].tolist()):
        mine = slice(edges[number], edges[number + 1])
        own_vertices = slice(starts[owner], starts[owner + 1])
        projected.append(
            ProjectedActor(
                actor=actors[owner],
                corners=polygons[mine],
                radii=radii[mine],
                colours=colours[mine],
                decals=decals[mine],
                outline=outline[own_vertices],
                shadow=np.concatenate([under[own_vertices], cast[own_vertices]]),
                blur_px=(blur[owner][0], blur[owner][1]),
                box=(*lefts_tops[number], *rights_bottoms[number]),
                depth_m=centre_depth[owner],
                shown_share=float(shown[owner]),
            )
        )
    return projected


def _outside_tunnels(world: Floats, town: Town) -> Floats:
    """World points (n, 3); those inside a tunnel are moved to its mouth, so that actors grow out of the dark."""
    limit_x, limit_y = town.reach_m
    emerged = world.copy()
    np.clip(emerged[:, 0], -limit_x, limit_x, out=emerged[:, 0])
    np.minimum(emerged[:, 1], limit_y, out=emerged[:, 1])
    return emerged


def _faces_in_order(crowd: Crowd, vertices: Floats, pixels: Floats, depth: Floats, town: Town) -> Faces:
    """The faces that look at the camera, back to front: by actor, then by layer, part and decal rank."""
    owner, corners = crowd.owners("paint"), crowd.indices("corners", "vertices")
    normal = crowd.turn(crowd.joined("normal"), owner)
    eye = np.array(town.view.position)
    towards = np.einsum("fc,fc->f", normal, eye - vertices[corners[:, 0]])
    index = np.flatnonzero((towards > 0) | ~normal.any(axis=1))
    owner, corners = owner[index], corners[index]
    order = crowd.joined("order")[index]
    is_decal = order % 10 > 0
    radius_px = crowd.joined("radius")[index] * crowd.size[owner]
    radius_px *= town.view.focal_px / depth[corners[:, 0]]
    low, high = _extents(corners, crowd.joined("corner_count")[index], pixels)
    low -= radius_px[:, None]
    high += radius_px[:, None]

    part_owner = crowd.owners("part_centre")
    part_distance = np.linalg.norm(crowd.to_world(crowd.joined("part_centre"), part_owner) - eye, axis=1)
    part_distance -= np.linalg.norm(crowd.place - eye, axis=1)[part_owner]
    part = crowd.indices("part", "part_centre")[index]
    key = draw_ranks(crowd.actors, town)[owner] * 1000.0 + (order // 10) * 100.0
    key += 50.0 - part_distance[part] + (order % 10) * 1e-3
    chosen = np.flatnonzero(~(is_decal & ((high - low).max(axis=1) < MIN_FACE_PX)))
    chosen = chosen[np.argsort(key[chosen], kind="stable")]
    return Faces(
        index=index[chosen],
        owner=owner[chosen],
        corners=corners[chosen],
        normal=normal[index[chosen]],
        low=low[chosen],
        high=high[chosen],
        radius_px=radius_px[chosen],
        is_decal=is_decal[chosen],
    )


def _extents(
    corners: npt.NDArray[np.int64], corner_count: npt.NDArray[np.int64], pixels: Floats
) -> tuple[Floats, Floats]:
    """Smallest and largest picture position of every face's corners, (f, 2) each."""
    face_px = pixels[corners[:, :QUAD].T]
    low, high = face_px.min(axis=0), face_px.max(axis=0)
    # Few faces have more corners than a rectangle.
    larger = np.flatnonzero(corner_count > QUAD)
    larger_px = pixels[corners[larger].T]
    low[larger], high[larger] = larger_px.min(axis=0), larger_px.max(axis=0)
    return low, high


def _polygons(crowd: Crowd, faces: Faces, outline: npt.NDArray[np.int32]) -> list[npt.NDArray[np.int32]]:
    """The corners (k, 2) of every face as drawing points."""
    polygons = list(outline[faces.corners[:, :QUAD]])
    count = crowd.joined("corner_count")[faces.index]
    for face in np.flatnonzero(count != QUAD).tolist():
        polygons[face] = outline[faces.corners[face, : count[face]]]
    return polygons


def _within_view(actors: list[Actor], town: Town) -> list[Actor]:
    """The actors whose surroundings the picture shows and that are wholly in front of the camera."""
    if not actors:
        return []
    place = np.array([(*actor.position_xy, 1.0) for actor in actors])
    reach = np.array([max(abs(edge) for edge in actor.mesh.footprint) + 2.0 for actor in actors])
    camera = town.view.to_camera(place)
    scale = town.view.focal_px / np.maximum(camera[:, 2], NEAR_M)
    half_w, half_h = town.view.centre_px
    inside = (np.abs(camera[:, 0]) - reach) * scale < half_w
    inside &= (np.abs(camera[:, 1]) - reach) * scale < half_h
    inside &= camera[:, 2] > reach + NEAR_M
    return [actor for actor, shown in zip(actors, inside.tolist(), strict=True) if shown]


def _shadow_outlines(world: Floats, town: Town, light: Light) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Every vertex (n, 3) dropped to the ground straight down, and along the sun's rays; drawing points (n, 2).

    Without direct sun only the spot underneath is left.
    """
    sun = town.sun_xyz
    reach = min(1.0, light.sun / 0.3)
    flat = world.copy()
    flat[:, 2] = 0.0
    cast = flat.copy()
    cast[:, :2] -= reach * world[:, 2:] * np.array([sun[0] / sun[2], sun[1] / sun[2]])
    return drawing_points(town.view.project(flat)[0]), drawing_points(town.view.project(cast)[0])


def _blur(actors: list[Actor], town: Town, light: Light) -> Floats:
    """How far each actor moves in the picture while the shutter is open: (n, 2) pixels."""
    travel = np.array([actor.speed for actor in actors]) * light.exposure_s / 2
    heading = np.array([actor.heading_rad for actor in actors])
    step = np.stack([np.cos(heading) * travel, np.sin(heading) * travel, np.zeros(len(actors))], axis=1)
    middle = np.array([(*actor.position_xy, 0.7) for actor in actors])
    moved: Floats = town.view.project(middle + step)[0] - town.view.project(middle - step)[0]
    return moved


def _shown_shares(world: Floats, emerged: Floats, starts: npt.NDArray[np.intp]) -> Floats:
    """Share of each actor's length that is outside the tunnels."""
    first = starts[:-1]

    def extent(points: Floats) -> Floats:
        spans = np.maximum.reduceat(points[:, :2], first) - np.minimum.reduceat(points[:, :2], first)
        area: Floats = spans[:, 0] * spans[:, 1]
        return area

    share: Floats = extent(emerged) / np.maximum(extent(world), 1e-6)
    return share
