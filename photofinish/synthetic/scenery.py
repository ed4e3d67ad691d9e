"""What stands still in a town: houses, trees, lamps, traffic lights and tunnels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from photofinish.synthetic.palette import bgr
from photofinish.synthetic.pieces import Blob, Item, Panel, Signal, box_panels, patch, shaded
from photofinish.synthetic.streets import Town

FACADES = ("#e8c9a0", "#d9a58c", "#b7c4b1", "#e3d9c6", "#c98f78", "#aebfcc", "#e6bfae", "#cfc2d6")
ROOFS = ("#8c5b4c", "#6c6f7a", "#a1664f", "#5d6b74")
AWNINGS = ("#d64545", "#3a6ea5", "#588157", "#e9c46a")
AWNING_LIGHT = bgr("#f4f1e8")
LEAVES = ("#6f9a5b", "#5e8c57", "#83a75c", "#9bb063", "#c59a4a")
WINDOW = bgr("#54707f")
WINDOW_LIT = bgr("#ffb347")
FRONT_M = 2.6
"""Grass strip with trees between the pavement and the houses."""
STONE, DARKNESS = bgr("#a79c8e"), bgr("#23252b")


def _house(x: tuple[float, float], y: tuple[float, float], town: Town, rng: np.random.Generator) -> Item:
    facade = bgr(FACADES[int(rng.integers(len(FACADES)))])
    roof = bgr(ROOFS[int(rng.integers(len(ROOFS)))])
    floors = int(rng.integers(3, 6))
    height = 3.4 + 2.9 * (floors - 1)
    pieces: list[Panel | Blob] = []
    for wall in box_panels(x, y, (0.0, height), facade, town, roof):
        pieces.append(wall)
        is_upright = abs(wall.corners[0, 2] - wall.corners[2, 2]) > 1
        if is_upright:
            pieces.extend(_wall_details(wall, floors, height, rng))
    middle = ((x[0] + x[1]) / 2, (y[0] + y[1]) / 2)
    corners = [(a, b, c) for a in x for b in y for c in (0.0, height)]
    return Item(place_xy=middle, pieces=tuple(pieces), outline=np.array(corners))


def _wall_details(wall: Panel, floors: int, height: float, rng: np.random.Generator) -> Iterator[Panel]:
    """Ground floor, cornice, windows and a striped awning of one wall."""
    width = float(np.linalg.norm(wall.corners[1] - wall.corners[0]))
    yield patch(wall, (0.0, 1.0, 0.0, 3.0 / height), shaded(wall.colour, 0.82))
    yield patch(wall, (0.0, 1.0, 1 - 0.45 / height, 1.0), shaded(wall.colour, 1.14))
    columns = max(2, round(width / 2.6))
    rim_u, rim_v = 0.1 / width, 0.1 / height
    for floor in range(floors):
        base = 0.75 if floor == 0 else 3.4 + 2.9 * (floor - 1) + 0.75
        tall, share = (2.0, 0.72) if floor == 0 else (1.55, 0.5)
        for column in range(columns):
            lit = WINDOW_LIT if rng.random() < 0.45 else None
            u0 = (column + (1 - share) / 2) / columns
            u1, v0, v1 = u0 + share / columns, base / height, (base + tall) / height
            yield patch(wall, (u0 - rim_u, u1 + rim_u, v0 - rim_v, v1 + rim_v), shaded(wall.colour, 1.12))
            yield patch(wall, (u0, u1, v0, v1), shaded(WINDOW, float(rng.uniform(0.85, 1.2))), lit)
    stripes = max(3, round(width / 0.7))
    awning = bgr(AWNINGS[int(rng.integers(len(AWNINGS)))])
    for stripe in range(stripes):
        span = (stripe / stripes, (stripe + 1) / stripes, 2.62 / height, 3.1 / height)
        yield patch(wall, span, awning if stripe % 2 else AWNING_LIGHT)


def _tree(x: float, y: float, town: Town, rng: np.random.Generator) -> Item:
    leaf = bgr(LEAVES[int(rng.choice(len(LEAVES), p=[0.3, 0.28, 0.2, 0.14, 0.08]))])
    size = float(rng.uniform(0.85, 1.2))
    trunk = box_panels((x - 0.14, x + 0.14), (y - 0.14, y + 0.14), (0.0, 2.2 * size), bgr("#7a5c45"), town)
    crown: list[Panel | Blob] = [*trunk]
    sun = np.array(town.sun_xyz)
    heap = [(0.0, 0.0, 3.0, 1.35), (0.75, 0.2, 2.75, 0.95), (-0.7, -0.25, 2.8, 1.0), (0.1, 0.35, 4.0, 0.95)]
    for brightness, push, shrink in ((0.72, -0.05, 1.0), (0.9, 0.12, 0.86), (1.08, 0.3, 0.6)):
        for dx, dy, z, radius in heap:
            centre = np.array([x, y, 0.0]) + size * (np.array([dx, dy, z]) + push * radius * sun)
            crown.append(
                Blob(
                    centre=(float(centre[0]), float(centre[1]), float(centre[2])),
                    radius=size * radius * shrink,
                    colour=shaded(leaf, brightness),
                    solid=brightness < 0.8,
                )
            )
    angles = np.linspace(0, 2 * np.pi, 10)
    ring = [(x + 1.5 * size * np.cos(a), y + 1.5 * size * np.sin(a), z * size) for a in angles for z in (2.2, 4.3)]
    return Item(place_xy=(x, y), pieces=tuple(crown), outline=np.array(ring))


def _post(
    x: float, y: float, height: float, town: Town, *, half: float = 0.07, extra: tuple[Panel | Blob, ...] = ()
) -> Item:
    steel = bgr("#4d5560")
    pole = box_panels((x - half, x + half), (y - half, y + half), (0.0, height), steel, town)
    outline = np.array([(x + a, y + b, z) for a in (-half, half) for b in (-half, half) for z in (0.0, height)])
    return Item(place_xy=(x, y), pieces=(*pole, *extra), outline=outline)


def _tunnel(town: Town, wall: str) -> Item:
    """The stone front in which a street ends, with a dark opening as wide as the street and its pavements."""
    reach_x, reach_y = town.reach_m
    street = town.avenue if wall == "north" else town.cross
    half, top, opening = street.edge_m + 1.6, 7.2, 4.6

    def at(across: float, z: float) -> tuple[float, float, float]:
        if wall == "north":
            return across, reach_y + 0.02, z
        return (reach_x if wall == "east" else -reach_x) * 1.0005, across, z

    inner = street.edge_m + 0.25
    front = np.array([at(-half, 0), at(half, 0), at(half, top), at(-half, top)])
    hole = [at(-inner, 0), at(inner, 0), at(inner, opening - 1.2), at(inner - 1.6, opening)]
    hole += [at(-inner + 1.6, opening), at(-inner, opening - 1.2)]
    pieces: list[Panel | Blob] = [Panel(corners=front, colour=STONE)]
    for row in range(6):
        z = top * row / 6
        line = np.array([at(-half, z), at(half, z), at(half, z + 0.07), at(-half, z + 0.07)])
        pieces.append(Panel(corners=line, colour=shaded(STONE, 0.88), solid=False))
    cap = np.array([at(-half - 0.3, top - 0.5), at(half + 0.3, top - 0.5), at(half + 0.3, top), at(-half - 0.3, top)])
    pieces.append(Panel(corners=cap, colour=shaded(STONE, 1.2), solid=False))
    middle = np.array(at(0.0, 0.0))
    arch = np.array(hole)
    surround = middle + (arch - middle) * (1 + 0.9 / inner)
    surround[:, 2] = np.where(arch[:, 2] > 0, arch[:, 2] + 0.55, 0.0)
    pieces.append(Panel(corners=surround, colour=shaded(STONE, 1.16), solid=False))
    pieces.append(Panel(corners=arch, colour=DARKNESS, solid=False))
    slope = 30.0

    def hill(across: float, back: float, z: float) -> tuple[float, float, float]:
        x, y, _ = at(across, z)
        if wall == "north":
            return x, y + back, z
        return x + (back if wall == "east" else -back), y, z

    mound = np.array(
        [
            hill(-half - 14, 2, 0),
            hill(-half, 0.1, top),
            hill(-half + 2, slope, top + 7),
            hill(half - 2, slope, top + 7),
            hill(half, 0.1, top),
            hill(half + 14, 2, 0),
        ]
    )
    pieces.insert(0, Panel(corners=mound, colour=bgr("#7f9f66"), solid=False))
    place = (0.0, reach_y + 14) if wall == "north" else ((reach_x + 14) * (1 if wall == "east" else -1), 0.0)
    return Item(place_xy=place, pieces=tuple(pieces), outline=np.empty((0, 3)))


def scenery_items(town: Town) -> tuple[list[Item], list[Signal]]:
    """Everything that stands in a town, farthest from its camera first, and its traffic lights."""
    rng = np.random.default_rng([town.seed, 6])
    items = [_tunnel(town, wall) for wall in ("north", "east", "west")]
    items.extend(_houses(town, rng))
    items.extend(_greenery(town, rng))
    lamps, signals = _street_furniture(town)
    items.extend(lamps)
    eye = np.array(town.view.position[:2])
    items.sort(key=lambda item: -float(np.hypot(*(np.array(item.place_xy) - eye))))
    return items, signals


def _houses(town: Town, rng: np.random.Generator) -> Iterator[Item]:
    """Rows of houses along the northern sides of both streets."""
    reach_x, reach_y = town.reach_m
    for side in (-1.0, 1.0):
        near, depth = town.cross.edge_m + FRONT_M, 10.0
        start = town.avenue.edge_m + FRONT_M
        while start < reach_x - 9:
            width = float(rng.uniform(8, 13))
            x = sorted((side * start, side * min(start + width, reach_x - 0.5)))
            yield _house((x[0], x[1]), (near, near + depth), town, rng)
            start += width + (0.0 if rng.random() < 0.7 else 2.5)
        start = near + depth + 1.5
        while start < reach_y - 7:
            length = min(float(rng.uniform(8, 12)), reach_y - 0.6 - start)
            x = sorted((side * (town.avenue.edge_m + FRONT_M), side * (town.avenue.edge_m + FRONT_M + 9)))
            yield _house((x[0], x[1]), (start, start + length), town, rng)
            start += length + 0.6


def _greenery(town: Town, rng: np.random.Generator) -> Iterator[Item]:
    """Trees before the houses, and in the southern parks, out of the camera's way."""
    eye = town.view.position
    for side in (-1.0, 1.0):
        for along in np.arange(town.avenue.edge_m + 5.0, town.reach_m[0] - 2, 7.0).tolist():
            if rng.random() < 0.7:
                yield _tree(side * along, town.cross.edge_m + 1.1, town, rng)
        for along in np.arange(town.cross.edge_m + 6.0, town.reach_m[1] - 2, 7.0).tolist():
            if rng.random() < 0.7:
                yield _tree(side * (town.avenue.edge_m + 1.1), along, town, rng)
    for _ in range(46):
        side = 1.0 if rng.random() < 0.5 else -1.0
        x = side * (town.avenue.edge_m + float(rng.uniform(2.5, 40)))
        y = -(town.cross.edge_m + float(rng.uniform(2.5, 26)))
        keeps_clear = float(np.hypot(x - eye[0], y - eye[1])) > 13
        bearing = float(np.arctan2(x - eye[0], y - eye[1])) - town.view.yaw_rad
        if keeps_clear and abs(bearing) > 0.33:
            yield _tree(x, y, town, rng)


def _street_furniture(town: Town) -> tuple[list[Item], list[Signal]]:
    items: list[Item] = []
    signals: list[Signal] = []
    avenue, cross = town.avenue, town.cross
    for side in (-1.0, 1.0):
        x = side * (avenue.edge_m - 0.35)
        for y in (cross.edge_m + 8, cross.edge_m + 20):
            items.append(_lamp(x, y, town, -side, 0.0))
        y = cross.edge_m - 0.35
        for distance in (8.0, 21.0):
            items.append(_lamp(side * (avenue.edge_m + distance), y, town, 0.0, -1.0))
    # North-east and north-west corners face the camera.
    for x, y, green in (
        (avenue.kerb_m + 0.45, cross.kerb_m + 0.45, 0.0),
        (-avenue.kerb_m - 0.45, cross.kerb_m + 0.45, 17.0),
    ):
        head = box_panels((x - 0.17, x + 0.17), (y - 0.14, y + 0.14), (2.5, 3.4), bgr("#2b2e33"), town)
        items.append(_post(x, y, 2.6, town, extra=tuple(head)))
        signals.append(Signal(lamp=(x, y - 0.15, 2.95), green_start_s=green))
    return items, signals


def _lamp(x: float, y: float, town: Town, lean_x: float, lean_y: float) -> Item:
    height = 6.2
    tip = (x + 1.1 * lean_x, y + 1.1 * lean_y)
    arm = np.array([(x, y, height), (*tip, height + 0.1), (*tip, height - 0.02), (x, y, height - 0.14)])
    warm = bgr("#ffdf9e")
    extra = (
        Panel(corners=arm, colour=bgr("#4d5560")),
        Blob(centre=(*tip, height - 0.02), radius=0.2, colour=bgr("#f3efe2"), solid=False, glow=warm),
    )
    return _post(x, y, height, town, half=0.08, extra=extra)
