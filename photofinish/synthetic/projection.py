"""All actors of a moment as flat faces in the picture, in the order they must be drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from photofinish.synthetic.light import PEDESTAL, Light
from photofinish.synthetic.meshes import Paint
from photofinish.synthetic.palette import FIXED_PAINTS
from photofinish.synthetic.streets import Town
from photofinish.synthetic.traffic import Actor
from photofinish.synthetic.viewpoint import NEAR_M, Floats, drawing_points

QUAD = 4
EDGE_PX = 0.5
"""How far OpenCV's smooth edges reach beyond a face."""
MIN_FACE_PX = 1.2
"""Decals whose picture is smaller than this in both directions are not drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectedActor:
    """One actor's picture.

    faces: (corners_px (k, 2), colour, is_decal) from back to front, radius instead of corners for balls, see
    radii. box: left, top, right, bottom of everything drawn, not clipped. depth_m along the optical axis.
    shown_share: how much of it has come out of the tunnel. outline: all its corners, (v, 2); shadow: the same on the
    ground, straight below and away from the sun, (2v, 2). blur_px: movement while the shutter is open. Corners,
    outline and shadow are in OpenCV's fixed point.
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
    meshes = [actor.mesh for actor in actors]
    vertex_actor = np.repeat(np.arange(len(actors)), [len(mesh.vertices) for mesh in meshes])
    cos = np.cos([actor.heading_rad for actor in actors])
    sin = np.sin([actor.heading_rad for actor in actors])
    place = np.array([(*actor.position_xy, 0.0) for actor in actors])
    size = np.array([actor.size for actor in actors])

    def to_world(points: Floats, owner: npt.NDArray[np.intp]) -> Floats:
        turned = np.empty_like(points)
        turned[:, 0] = points[:, 0] * cos[owner] - points[:, 1] * sin[owner]
        turned[:, 1] = points[:, 0] * sin[owner] + points[:, 1] * cos[owner]
        turned[:, 2] = points[:, 2]
        world: Floats = turned * size[owner, None] + place[owner]
        return world

    world = to_world(np.concatenate([mesh.vertices for mesh in meshes]), vertex_actor)
    starts = np.concatenate([[0], np.cumsum([len(mesh.vertices) for mesh in meshes])])
    limit_x, limit_y = town.reach_m
    emerged = world.copy()
    np.clip(emerged[:, 0], -limit_x, limit_x, out=emerged[:, 0])
    np.minimum(emerged[:, 1], limit_y, out=emerged[:, 1])
    shown = _shown_shares(world, emerged, starts)
    pixels, depth = town.view.project(emerged)
    outline = drawing_points(pixels)
    under, cast = _shadow_outlines(emerged, town, light)
    blur = _blur(actors, town, light).tolist()

    face_counts = [len(mesh.paint) for mesh in meshes]
    face_actor = np.repeat(np.arange(len(actors)), face_counts)
    corners = np.concatenate([mesh.corners + start for mesh, start in zip(meshes, starts, strict=False)])
    normal = np.concatenate([mesh.normal for mesh in meshes])
    turned_normal = np.stack(
        [
            normal[:, 0] * cos[face_actor] - normal[:, 1] * sin[face_actor],
            normal[:, 0] * sin[face_actor] + normal[:, 1] * cos[face_actor],
            normal[:, 2],
        ],
        axis=1,
    )
    eye = np.array(town.view.position)
    towards = np.einsum("fc,fc->f", turned_normal, eye - emerged[corners[:, 0]])
    visible = np.flatnonzero((towards > 0) | ~normal.any(axis=1))
    face_actor, turned_normal, corners = face_actor[visible], turned_normal[visible], corners[visible]
    order = np.concatenate([mesh.order for mesh in meshes])[visible]
    is_decal = order % 10 > 0
    count = np.concatenate([mesh.corner_count for mesh in meshes])[visible]
    face_px = pixels[corners[:, :QUAD].T]
    low, high = face_px.min(axis=0), face_px.max(axis=0)
    # Few faces have more corners than a rectangle.
    larger = np.flatnonzero(count > QUAD)
    larger_px = pixels[corners[larger].T]
    low[larger], high[larger] = larger_px.min(axis=0), larger_px.max(axis=0)
    radius_px = np.concatenate([mesh.radius for mesh in meshes])[visible] * size[face_actor]
    radius_px *= town.view.focal_px / depth[corners[:, 0]]
    low -= radius_px[:, None]
    high += radius_px[:, None]
    is_seen = ~(is_decal & ((high - low).max(axis=1) < MIN_FACE_PX))

    ranks = _draw_order(actors, town)
    part_start = np.concatenate([[0], np.cumsum([len(mesh.part_centre) for mesh in meshes])])
    part_actor = np.repeat(np.arange(len(actors)), [len(mesh.part_centre) for mesh in meshes])
    part_world = to_world(np.concatenate([mesh.part_centre for mesh in meshes]), part_actor)
    part_distance = np.linalg.norm(part_world - eye, axis=1)
    part_distance -= np.linalg.norm(place - eye, axis=1)[part_actor]
    part = np.concatenate([mesh.part + start for mesh, start in zip(meshes, part_start, strict=False)])[visible]
    key = ranks[face_actor] * 1000.0 + (order // 10) * 100.0 + 50.0 - part_distance[part] + (order % 10) * 1e-3
    chosen = np.flatnonzero(is_seen)
    chosen = chosen[np.argsort(key[chosen], kind="stable")]

    paint = np.concatenate([mesh.paint for mesh in meshes])[visible][chosen]
    shade = np.concatenate([mesh.shade for mesh in meshes])[visible][chosen]
    colours = _face_colours(actors, face_actor[chosen], turned_normal[chosen], paint, shade, town, light).tolist()
    polygons = list(outline[corners[chosen, :QUAD]])
    for face in np.flatnonzero(count[chosen] != QUAD).tolist():
        polygons[face] = outline[corners[chosen[face], : count[chosen[face]]]]
    radii = np.rint(radius_px[chosen] * 16).astype(int).tolist()
    decals = is_decal[chosen].tolist()
    owners = face_actor[chosen]
    # Faces lie in drawing order, so each actor's are neighbours.
    firsts = np.flatnonzero(np.diff(owners, prepend=-1))
    edges = [*firsts.tolist(), len(owners)]
    boxes = np.concatenate(
        [
            np.minimum.reduceat(low[chosen], firsts, axis=0) - EDGE_PX,
            np.maximum.reduceat(high[chosen], firsts, axis=0) + EDGE_PX,
        ],
        axis=1,
    ).tolist()
    centre_depth = town.view.to_camera(place)[:, 2]
    projected: list[ProjectedActor] = []
    for number, owner in enumerate(owners[firsts].tolist()):
        first, last = edges[number], edges[number + 1]
        left, top, right, bottom = boxes[number]
        projected.append(
            ProjectedActor(
                actor=actors[owner],
                corners=polygons[first:last],
                radii=radii[first:last],
                colours=colours[first:last],
                decals=decals[first:last],
                outline=outline[starts[owner] : starts[owner + 1]],
                shadow=np.concatenate([shadow[starts[owner] : starts[owner + 1]] for shadow in (under, cast)]),
                blur_px=(blur[owner][0], blur[owner][1]),
                box=(left, top, right, bottom),
                depth_m=float(centre_depth[owner]),
                shown_share=float(shown[owner]),
            )
        )
    return projected


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


def _face_colours(
    actors: list[Actor],
    face_actor: npt.NDArray[np.intp],
    normal: Floats,
    paint: npt.NDArray[np.int64],
    shade: Floats,
    town: Town,
    light: Light,
) -> Floats:
    """Flat shading of every face, (f, 3) blue first, darkened by the sensor's pedestal."""
    table = np.empty((len(actors), len(Paint), 3))
    for fixed, colour in FIXED_PAINTS.items():
        table[:, fixed] = colour
    for index, actor in enumerate(actors):
        table[index, : len(actor.paints)] = actor.paints
    facing = np.maximum(normal @ np.array(town.sun_xyz), 0.0)
    flat = ~normal.any(axis=1)
    facing[flat] = 0.6
    brightness = shade * (0.68 + 0.10 * np.maximum(normal[:, 2], 0) + (0.20 + 0.32 * light.sun) * facing)
    brightness[flat] = shade[flat] * (0.80 + 0.35 * light.sun * 0.6)
    colours: Floats = table[face_actor, paint] * brightness[:, None] * np.array(light.gain_bgr)
    if light.lamps > 0.2:
        colours[paint == Paint.HEADLIGHT] = (225, 250, 255)
        colours[paint == Paint.AMBER] = (90, 190, 255)
        colours[paint == Paint.TAIL_LIGHT] = (50, 50, 225)
    braking = np.array([actor.brakes for actor in actors])
    colours[(paint == Paint.TAIL_LIGHT) & braking[face_actor]] = (60, 60, 255)
    shaded: Floats = np.clip(colours - PEDESTAL, 0, 255)
    return shaded


def _draw_order(actors: list[Actor], town: Town) -> npt.NDArray[np.intp]:
    """Rank of each actor, 0 is drawn first.

    Farther actors come first, except where the edge of a footprint separates two actors: then the one on the
    camera's side comes later, whatever their distances say. That keeps long buses right.
    """
    place = np.array([actor.position_xy for actor in actors])
    eye = np.array(town.view.position[:2])
    distance = np.hypot(*(place - eye).T)
    behind = _behind_matrix(actors, place, eye)
    waiting = behind.sum(axis=0).astype(np.int64)
    left = np.ones(len(actors), dtype=np.bool_)
    ranks = np.empty(len(actors), dtype=np.intp)
    for rank in range(len(actors)):
        ready = left & (waiting <= 0)
        pool = ready if ready.any() else left
        following = int(np.argmax(np.where(pool, distance, -1.0)))
        ranks[following] = rank
        left[following] = False
        waiting -= behind[following]
    return ranks


def _behind_matrix(actors: list[Actor], place: Floats, eye: Floats) -> npt.NDArray[np.bool_]:
    """Entry (i, j): i must be drawn before j, because an edge of one of them separates i from j and the camera."""
    heading = np.array([actor.heading_rad for actor in actors])
    size = np.array([actor.size for actor in actors])
    bounds = np.array([actor.mesh.footprint for actor in actors]) * size[:, None]
    axes = np.stack([np.stack([np.cos(heading), np.sin(heading)], 1), np.stack([-np.sin(heading), np.cos(heading)], 1)])
    picks = bounds[:, [[0, 2], [0, 3], [1, 2], [1, 3]]]
    corners = place[:, None] + picks[..., :1] * axes[0][:, None] + picks[..., 1:] * axes[1][:, None]
    behind = np.zeros((len(actors), len(actors)), dtype=np.bool_)
    for axis, (low, high) in zip(axes, ((0, 1), (2, 3)), strict=True):
        offset = (axis @ corners.reshape(-1, 2).T).reshape(len(actors), len(actors), 4)
        offset -= (place * axis).sum(axis=1)[:, None, None]
        camera = ((eye - place) * axis).sum(axis=1)
        for sign, bound in ((1.0, bounds[:, high]), (-1.0, -bounds[:, low])):
            beyond = (offset * sign).min(axis=2) >= bound[:, None] - 0.02
            camera_beyond = camera * sign >= bound
            behind |= (beyond & ~camera_beyond[:, None]).T
            behind |= beyond & camera_beyond[:, None]
    np.fill_diagonal(behind, False)
    return behind & ~behind.T
