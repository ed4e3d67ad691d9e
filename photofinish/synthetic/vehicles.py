"""Cars, trucks and buses as low-poly meshes."""

from __future__ import annotations

from functools import cache

import numpy as np

from photofinish.synthetic.meshes import Mesh, MeshBuilder, Paint
from photofinish.synthetic.viewpoint import Floats

CAR_SHAPES = ("saloon", "hatchback", "estate", "taxi")
TRUCK_SHAPES = ("box", "tipper", "tanker")
BUS_SHAPES = ("city", "coach")


def _wheels(builder: MeshBuilder, axles: tuple[float, ...], half_width: float, radius: float) -> None:
    for x in axles:
        for side in (-1.0, 1.0):
            y = side * (half_width + 0.02)
            builder.disc((x, y, radius), radius, Paint.TYRE, layer=1, facing=side)
            builder.disc((x, y * 1.005, radius), radius * 0.55, Paint.METAL, layer=1, rank=3, facing=side, sides=8)


def _underbody(builder: MeshBuilder, length: tuple[float, float], half_width: float, top: float) -> None:
    rectangle = (length[0], length[1], -half_width, half_width)
    builder.loft(rectangle, rectangle, (0.12, top), Paint.TYRE)


def _lights(
    builder: MeshBuilder, x: tuple[float, float], half_width: float, z: float, *, size: tuple[float, float]
) -> None:
    """Two lamps at the back (x[0]) and two at the front (x[1])."""
    width, height = size
    for side in (-1.0, 1.0):
        inner, outer = sorted((side * (half_width - width), side * half_width))
        for at, facing, paint in ((x[0] - 0.02, -1.0, Paint.TAIL_LIGHT), (x[1] + 0.02, 1.0, Paint.HEADLIGHT)):
            builder.end_patch(at, (inner, outer), (z, z + height), paint, facing=facing, layer=1)


def _windows(builder: MeshBuilder, face: Floats, panes: int, *, sill: float = 0.12, layer: int = 2) -> None:
    """A row of panes over one face, with pillars between."""
    gap = 0.05
    width = (1 - gap * (panes + 1)) / panes
    for pane in range(panes):
        start = gap + pane * (width + gap)
        builder.decal(face, (start, start + width, sill, 0.88), Paint.GLASS, layer=layer)


@cache
def car_mesh(shape: str) -> Mesh:
    """A car about 4.1 m long: a saloon, hatchback, estate or taxi."""
    builder = MeshBuilder()
    half = 0.9
    _underbody(builder, (-1.95, 1.95), 0.8, 0.4)
    profile = [(-2.05, 0.32), (2.05, 0.32), (2.1, 0.62), (1.95, 0.8), (0.9, 0.95), (-1.85, 0.97), (-2.1, 0.85)]
    body = builder.prism(profile, half, Paint.MAIN)
    for face in body.values():
        strip = face[[0, 1, 1, 0]].copy()
        strip[:, 2] = (0.32, 0.32, 0.45, 0.45)
        builder.decal(strip, (0.0, 1.0, 0.0, 1.0), Paint.MAIN, shade=0.72)
    if shape in ("saloon", "taxi"):
        bottom, top = (-1.45, 0.95, -0.84, 0.84), (-0.95, 0.35, -0.66, 0.66)
    elif shape == "hatchback":
        bottom, top = (-1.95, 0.95, -0.84, 0.84), (-1.45, 0.3, -0.66, 0.66)
    else:
        bottom, top = (-2.0, 0.95, -0.84, 0.84), (-1.85, 0.35, -0.68, 0.68)
    _wheels(builder, (-1.28, 1.28), half, 0.36)
    _lights(builder, (-2.08, 2.08), 0.84, 0.5, size=(0.36, 0.17))
    builder.end_patch(2.1, (-0.4, 0.4), (0.44, 0.6), Paint.DARK, facing=1.0, layer=1)
    cabin = builder.loft(bottom, top, (0.93, 1.5), Paint.MAIN, layer=2)
    for name in ("front", "back"):
        builder.decal(cabin[name], (0.07, 0.93, 0.1, 0.9), Paint.GLASS, layer=2)
    for name in ("left", "right"):
        _windows(builder, cabin[name], 3 if shape == "estate" else 2, sill=0.1)
    if shape == "taxi":
        rectangle = (-0.5, -0.1, -0.3, 0.3)
        builder.loft(rectangle, rectangle, (1.5, 1.68), Paint.WHITE, layer=3)
    return builder.build()


@cache
def truck_mesh(shape: str) -> Mesh:
    """A lorry about 7.4 m long: a box body, a tipper or a tanker behind a cab."""
    builder = MeshBuilder()
    half = 1.15
    _underbody(builder, (-3.6, 3.55), 0.95, 0.75)
    _wheels(builder, (-2.6, -1.5, 2.55), half, 0.5)
    builder.prism([(1.75, 0.5), (3.7, 0.5), (3.72, 1.4), (3.45, 2.6), (1.75, 2.6)], half, Paint.MAIN)
    for y in (half, -half):
        pane = np.array([(2.1, y, 1.5), (3.55, y, 1.5), (3.35, y, 2.35), (2.1, y, 2.35)])
        builder.decal(pane, (0.0, 1.0, 0.0, 1.0), Paint.GLASS)
    screen = np.array([(3.7, -half, 1.47), (3.7, half, 1.47), (3.46, half, 2.55), (3.46, -half, 2.55)])
    builder.decal(screen, (0.05, 0.95, 0.05, 0.85), Paint.GLASS)
    builder.end_patch(3.73, (-0.7, 0.7), (0.85, 1.25), Paint.DARK, facing=1.0, layer=1)
    _lights(builder, (-3.64, 3.71), 1.1, 0.6, size=(0.36, 0.2))
    bed = (-3.65, 1.5, -half, half)
    if shape == "box":
        box = builder.loft(bed, bed, (0.85, 3.1), Paint.SECOND)
        for name in ("left", "right"):
            builder.decal(box[name], (0.0, 1.0, 0.28, 0.46), Paint.THIRD)
        builder.decal(box["back"], (0.06, 0.49, 0.06, 0.94), Paint.SECOND, shade=0.86)
        builder.decal(box["back"], (0.51, 0.94, 0.06, 0.94), Paint.SECOND, shade=0.86)
    elif shape == "tipper":
        walls = builder.loft(bed, (-3.85, 1.6, -1.25, 1.25), (0.9, 1.95), Paint.THIRD)
        builder.decal(walls["top"], (0.04, 0.96, 0.06, 0.94), Paint.DARK)
        for name in ("left", "right"):
            for rib in (0.2, 0.4, 0.6, 0.8):
                builder.decal(walls[name], (rib - 0.02, rib + 0.02, 0.0, 1.0), Paint.THIRD, shade=0.75)
        builder.loft((-3.3, 1.2, -1.0, 1.0), (-2.2, 0.2, -0.3, 0.3), (1.95, 2.5), Paint.SECOND, layer=2)
    else:
        _tank(builder, (-3.65, 1.45))
    return builder.build()


def _tank(builder: MeshBuilder, x: tuple[float, float]) -> None:
    """A tank along x, as three stacked slabs that together have a rounded section."""
    levels = ((0.85, 0.75), (1.3, 1.12), (2.1, 1.12), (2.6, 0.7))
    for layer in range(len(levels) - 1):
        (z0, y0), (z1, y1) = levels[layer], levels[layer + 1]
        faces = builder.loft((*x, -y0, y0), (*x, -y1, y1), (z0, z1), Paint.SECOND, layer=layer)
        for name in ("left", "right"):
            for at in (0.02, 0.5, 0.94):
                builder.decal(faces[name], (at, at + 0.04, 0.0, 1.0), Paint.THIRD, layer=layer)


@cache
def bus_mesh(shape: str) -> Mesh:
    """A bus about 10 m long: a city bus with doors, or a coach with a dark window band."""
    builder = MeshBuilder()
    half = 1.22
    _underbody(builder, (-4.8, 4.8), 1.0, 0.5)
    lower = (-5.0, 5.0, -half, half)
    skirt = builder.loft(lower, lower, (0.32, 1.35), Paint.MAIN)
    for name in ("left", "right"):
        builder.decal(skirt[name], (0.0, 1.0, 0.72, 0.9), Paint.SECOND)
    _wheels(builder, (-3.1, 3.1), half, 0.5)
    _lights(builder, (-4.99, 4.99), 1.14, 0.62, size=(0.4, 0.24))
    upper = builder.loft(lower, (-4.95, 4.8, -1.14, 1.14), (1.35, 2.95), Paint.MAIN, layer=1, roof=Paint.WHITE)
    builder.decal(upper["front"], (0.05, 0.95, 0.04, 0.7), Paint.GLASS, layer=1)
    builder.decal(upper["front"], (0.2, 0.8, 0.76, 0.93), Paint.AMBER, layer=1)
    builder.decal(upper["back"], (0.12, 0.88, 0.3, 0.75), Paint.GLASS, layer=1)
    panes = 6 if shape == "city" else 8
    for name in ("left", "right"):
        if shape == "city":
            _windows(builder, upper[name], panes, sill=0.1, layer=1)
        else:
            builder.decal(upper[name], (0.02, 0.98, 0.1, 0.8), Paint.GLASS, layer=1)
    if shape == "city":
        for span in ((0.8, 0.93, 0.05, 1.0), (0.42, 0.55, 0.05, 1.0)):
            builder.decal(skirt["right"], span, Paint.GLASS, layer=1, shade=0.85)
    for x in (-2.6, 1.6):
        rectangle = (x, x + 1.5, -0.6, 0.6)
        builder.loft(rectangle, rectangle, (2.95, 3.2), Paint.METAL, layer=2)
    return builder.build()
