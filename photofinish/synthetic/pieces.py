"""What scenery is made of: flat panels and balls, and the boxes built from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from photofinish.synthetic.palette import Colour
from photofinish.synthetic.streets import Town
from photofinish.synthetic.viewpoint import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A flat piece of scenery: corners (n, 3); it hides what is behind it when solid; glow is added at night."""

    corners: Floats
    colour: Colour
    solid: bool = True
    glow: Colour | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """A ball of leaves or a lamp: drawn as a circle."""

    centre: tuple[float, float, float]
    radius: float
    colour: Colour
    solid: bool = True
    glow: Colour | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One piece of scenery: its pieces in drawing order, where it stands, its shadow's outline on the ground."""

    place_xy: tuple[float, float]
    pieces: tuple[Panel | Blob, ...]
    outline: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """A traffic light: where its lamp is, and when it turns green."""

    lamp: tuple[float, float, float]
    green_start_s: float


def shaded(colour: Colour, factor: float) -> Colour:
    """A colour made lighter or darker."""
    return min(colour[0] * factor, 255.0), min(colour[1] * factor, 255.0), min(colour[2] * factor, 255.0)


def box_panels(
    x: tuple[float, float],
    y: tuple[float, float],
    z: tuple[float, float],
    colour: Colour,
    town: Town,
    top: Colour | None = None,
) -> list[Panel]:
    """The sides of a box that the camera can see, shaded by the sun, and its top."""
    eye, sun = town.view.position, town.sun_xyz
    (x0, x1), (y0, y1), (z0, z1) = x, y, z
    panels: list[Panel] = []
    for at, axis, sign, corners in (
        (x0, 0, -1.0, [(x0, y0), (x0, y1)]),
        (x1, 0, 1.0, [(x1, y0), (x1, y1)]),
        (y0, 1, -1.0, [(x0, y0), (x1, y0)]),
        (y1, 1, 1.0, [(x0, y1), (x1, y1)]),
    ):
        if (eye[axis] - at) * sign > 0:
            (ax, ay), (bx, by) = corners
            light = 0.78 + 0.3 * max(0.0, sign * sun[axis])
            quad = np.array([(ax, ay, z0), (bx, by, z0), (bx, by, z1), (ax, ay, z1)])
            panels.append(Panel(corners=quad, colour=shaded(colour, light)))
    if eye[2] > z1:
        quad = np.array([(x0, y0, z1), (x1, y0, z1), (x1, y1, z1), (x0, y1, z1)])
        panels.append(Panel(corners=quad, colour=shaded(top if top is not None else colour, 1.05)))
    return panels


def patch(panel: Panel, span: tuple[float, float, float, float], colour: Colour, glow: Colour | None = None) -> Panel:
    """A rectangle of a quad panel; spans are shares of its width and height."""
    quad, (u0, u1, v0, v1) = panel.corners, span
    corners = [
        (1 - v) * ((1 - u) * quad[0] + u * quad[1]) + v * ((1 - u) * quad[3] + u * quad[2])
        for u, v in ((u0, v0), (u1, v0), (u1, v1), (u0, v1))
    ]
    return Panel(corners=np.array(corners), colour=colour, solid=False, glow=glow)
