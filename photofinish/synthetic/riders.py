"""Pedestrians, bicycles and motorcycles as low-poly meshes, with their people's movements."""

from __future__ import annotations

from functools import cache

import numpy as np

from photofinish.synthetic.meshes import Mesh, MeshBuilder, Paint

PHASES = 12
"""Poses in one walking or pedalling cycle."""
STRIDE_M = 1.5
"""Ground covered in one walking cycle."""
PEDAL_M = 4.0
"""Ground covered in one turn of the pedals."""
PERSON_SHAPES = ("coat", "shirt", "skirt", "bag")


def _limb(
    builder: MeshBuilder,
    start_xz: tuple[float, float],
    end_xz: tuple[float, float],
    y: float,
    thickness: float,
    paint: Paint,
    *,
    layer: int = 0,
    capped: bool = False,
) -> None:
    """A bar with a square section between two points of the x-z plane; its ends are open unless capped."""
    (x0, z0), (x1, z1) = start_xz, end_xz
    length = float(np.hypot(x1 - x0, z1 - z0)) or 1.0
    across_x, across_z = -(z1 - z0) / length * thickness / 2, (x1 - x0) / length * thickness / 2
    profile = [
        (x0 + across_x, z0 + across_z),
        (x1 + across_x, z1 + across_z),
        (x1 - across_x, z1 - across_z),
        (x0 - across_x, z0 - across_z),
    ]
    builder.prism(profile, thickness / 2, paint, layer=layer, y=y, skipped=() if capped else (1, 3))


@cache
def pedestrian_mesh(shape: str, phase: int) -> Mesh:
    """A person about 1.8 m tall in pose `phase` of PHASES; PHASES itself stands still."""
    builder = MeshBuilder()
    swing = 0.0 if phase == PHASES else float(np.sin(2 * np.pi * phase / PHASES))
    hip, shoulder = 0.86, 1.42
    for side in (-1.0, 1.0):
        reach = side * swing * 0.36
        lift = max(0.0, -side * float(np.cos(2 * np.pi * phase / PHASES))) * 0.1 if phase != PHASES else 0.0
        knee = (reach * 0.55 + 0.04, 0.46 + lift)
        foot = (reach - lift * 0.6, 0.07 + lift)
        _limb(builder, (0.0, hip), knee, side * 0.12, 0.19, Paint.SECOND)
        _limb(builder, knee, foot, side * 0.12, 0.16, Paint.SECOND)
        _limb(
            builder,
            (foot[0] - 0.07, foot[1] - 0.01),
            (foot[0] + 0.18, foot[1] - 0.01),
            side * 0.12,
            0.12,
            Paint.DARK,
            capped=True,
        )
        hand = (-reach * 0.9, 0.92)
        _limb(builder, (0.0, shoulder - 0.06), hand, side * 0.3, 0.14, Paint.MAIN, layer=1)
        builder.ball((hand[0], side * 0.3, hand[1] - 0.04), 0.08, Paint.SKIN, layer=1)
    hem = {"coat": 0.62, "skirt": 0.5}.get(shape, 0.84)
    flare = 0.2 if shape in ("coat", "skirt") else 0.14
    waist = (-0.13, 0.13, -0.19, 0.19)
    if hem < 0.84:
        paint = Paint.MAIN if shape == "coat" else Paint.THIRD
        builder.loft((-flare, flare, -0.23, 0.23), waist, (hem, 0.95), paint, layer=1)
    builder.loft(waist, (-0.14, 0.14, -0.26, 0.26), (0.84 if hem == 0.84 else 0.95, 1.5), Paint.MAIN, layer=1)
    if shape == "bag":
        builder.loft((-0.34, -0.12, -0.17, 0.17), (-0.3, -0.12, -0.15, 0.15), (1.0, 1.45), Paint.THIRD, layer=1)
    builder.ball((0.02, 0.0, 1.66), 0.17, Paint.SKIN, layer=2)
    builder.ball((-0.03, 0.0, 1.72), 0.155, Paint.DARK if shape != "shirt" else Paint.THIRD, layer=3)
    return builder.build()


def _rider(
    builder: MeshBuilder, *, hip: tuple[float, float], lean: float, hands: tuple[float, float], helmet: Paint
) -> None:
    """Torso, arms and helmet of somebody sitting at `hip`, leaning forward by `lean` metres at the shoulders."""
    shoulder = (hip[0] + lean, hip[1] + 0.55)
    for side in (-1.0, 1.0):
        _limb(builder, (shoulder[0], shoulder[1] - 0.05), hands, side * 0.25, 0.13, Paint.SECOND, layer=1)
    x0, x1 = hip[0] - 0.14, hip[0] + 0.14
    top = (shoulder[0] - 0.14, shoulder[0] + 0.14, -0.23, 0.23)
    builder.loft((x0, x1, -0.18, 0.18), top, (hip[1] - 0.02, shoulder[1] + 0.05), Paint.SECOND, layer=2)
    head = (shoulder[0] + 0.08, 0.0, shoulder[1] + 0.2)
    builder.ball(head, 0.17, Paint.SKIN, layer=3)
    builder.ball((head[0] - 0.02, 0.0, head[2] + 0.05), 0.185, helmet, layer=4)


@cache
def bicycle_mesh(phase: int) -> Mesh:
    """A bicycle 1.8 m long with an upright, pedalling rider; thin open wheels."""
    builder = MeshBuilder()
    for x in (-0.55, 0.55):
        _open_wheel(builder, (x, 0.36), 0.36)
    crank, saddle, head = (-0.08, 0.34), (-0.28, 0.92), (0.42, 0.92)
    for start, end in (((-0.55, 0.36), crank), (crank, head), (crank, saddle), (saddle, head), (head, (0.55, 0.36))):
        _limb(builder, start, end, 0.0, 0.06, Paint.MAIN)
    for side in (-1.0, 1.0):
        angle = 2 * np.pi * phase / PHASES + (np.pi if side > 0 else 0.0)
        foot = (crank[0] + 0.17 * float(np.cos(angle)), crank[1] - 0.17 * float(np.sin(angle)))
        knee = ((saddle[0] + foot[0]) / 2 + 0.22, (saddle[1] + foot[1]) / 2 + 0.12)
        _limb(builder, (saddle[0], saddle[1] + 0.05), knee, side * 0.12, 0.16, Paint.THIRD, layer=1)
        _limb(builder, knee, foot, side * 0.12, 0.13, Paint.THIRD, layer=1)
    _rider(builder, hip=(-0.26, 1.0), lean=0.26, hands=(0.42, 1.06), helmet=Paint.MAIN)
    return builder.build()


def _open_wheel(builder: MeshBuilder, centre_xz: tuple[float, float], radius: float) -> None:
    """A thin tyre: a flat ring seen from the sides, and a narrow upright seen from both ends."""
    x, z = centre_xz
    builder.ring((x, 0.0, z), (radius, radius - 0.09), Paint.TYRE)
    builder.end_patch(x, (-0.04, 0.04), (z - radius, z + radius), Paint.TYRE, facing=0.0)


@cache
def motorcycle_mesh() -> Mesh:
    """A motorcycle 2.2 m long: fat wheels, a solid body, a rider with bent legs and a full helmet."""
    builder = MeshBuilder()
    for x in (-0.78, 0.78):
        angles = np.linspace(0, 2 * np.pi, 10, endpoint=False)
        profile = [(x + 0.36 * float(np.cos(a)), 0.36 + 0.36 * float(np.sin(a))) for a in angles]
        sides = builder.prism(profile, 0.11, Paint.TYRE)
        for face in sides.values():
            centre = face.mean(axis=0)
            builder.disc((centre[0], centre[1] * 1.05, centre[2]), 0.2, Paint.METAL, facing=np.sign(centre[1]), sides=8)
    builder.prism([(-0.45, 0.3), (0.4, 0.28), (0.5, 0.62), (-0.4, 0.65)], 0.2, Paint.DARK)
    builder.prism([(-0.95, 0.78), (-0.2, 0.6), (0.55, 0.72), (0.48, 1.02), (0.1, 1.05), (-0.2, 0.85)], 0.22, Paint.MAIN)
    builder.prism([(0.5, 0.65), (0.9, 0.62), (0.78, 1.0), (0.62, 1.28), (0.45, 1.0)], 0.24, Paint.MAIN, layer=1)
    builder.end_patch(0.9, (-0.14, 0.14), (0.72, 0.94), Paint.HEADLIGHT, facing=1.0, layer=1)
    builder.end_patch(-1.0, (-0.14, 0.14), (0.7, 0.84), Paint.TAIL_LIGHT, facing=-1.0, layer=1)
    for side in (-1.0, 1.0):
        _limb(builder, (-0.25, 0.88), (0.2, 0.72), side * 0.26, 0.18, Paint.THIRD, layer=1)
        _limb(builder, (0.2, 0.72), (-0.1, 0.38), side * 0.26, 0.15, Paint.THIRD, layer=1)
    _rider(builder, hip=(-0.3, 0.88), lean=0.34, hands=(0.5, 1.08), helmet=Paint.MAIN)
    return builder.build()
