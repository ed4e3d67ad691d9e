"""Colours, blue first, 0..255."""

from __future__ import annotations

import numpy as np

from photofinish.synthetic.meshes import Paint

Colour = tuple[float, float, float]


def bgr(code: str) -> Colour:
    """The colour of a web code such as `#e07a5f`."""
    return float(int(code[5:7], 16)), float(int(code[3:5], 16)), float(int(code[1:3], 16))


FIXED_PAINTS: dict[Paint, Colour] = {
    Paint.DARK: bgr("#2f3238"),
    Paint.GLASS: bgr("#3d5a6c"),
    Paint.TYRE: bgr("#26272b"),
    Paint.METAL: bgr("#b9bfc6"),
    Paint.WHITE: bgr("#f2f1ec"),
    Paint.HEADLIGHT: bgr("#fff6d8"),
    Paint.TAIL_LIGHT: bgr("#c43131"),
    Paint.AMBER: bgr("#f5b13d"),
}

_CAR = ("#d64545", "#f2f1ec", "#3a6ea5", "#f0b429", "#5b8e7d", "#8d99ae", "#33415c", "#e07a5f", "#7fb7be", "#a05195")
_TRUCK = ("#2f6690", "#c8553d", "#588157", "#e9c46a", "#6d597a", "#dad7cd")
_CARGO = ("#f2f1ec", "#dfe3e6", "#e8d8b9", "#9bb1bf", "#cfe0d5")
_STRIPE = ("#d64545", "#3a6ea5", "#f0b429", "#588157", "#e07a5f")
_BUS = ("#c8353a", "#f0b429", "#1d7874", "#3a6ea5", "#7a9e3e")
_BIKE = ("#d64545", "#2a9d8f", "#f0b429", "#3a6ea5", "#f2f1ec", "#8338ec")
_MOTORCYCLE = ("#c1121f", "#1b1b1e", "#0077b6", "#2d6a4f", "#f77f00", "#dfe3e6")
_CLOTHES = (
    "#e76f51",
    "#2a9d8f",
    "#e9c46a",
    "#457b9d",
    "#f4f1de",
    "#b56576",
    "#6d597a",
    "#81b29a",
    "#d62828",
    "#4d7c8a",
)
_TROUSERS = ("#33415c", "#4a4e69", "#6b705c", "#22223b", "#7f5539", "#8d99ae")
_SKIN = ("#f1c9a5", "#d9a074", "#a66a43", "#7b4a2d", "#e8b88f")
_LEATHER = ("#2b2d42", "#3d405b", "#463f3a", "#6b2737")


def random_paints(rng: np.random.Generator, class_id: int, shape: str) -> tuple[Colour, Colour, Colour, Colour]:
    """An actor's own colours: main, second, third and skin."""

    def pick(codes: tuple[str, ...]) -> Colour:
        return bgr(codes[int(rng.integers(len(codes)))])

    skin = pick(_SKIN)
    if class_id == 0:
        return (bgr("#f5c518") if shape == "taxi" else pick(_CAR)), pick(_CARGO), pick(_STRIPE), skin
    if class_id == 1:
        return pick(_TRUCK), pick(_CARGO), pick(_STRIPE), skin
    if class_id == 2:
        return pick(_BUS), bgr("#f2f1ec"), pick(_STRIPE), skin
    if class_id == 3:
        return pick(_MOTORCYCLE), pick(_LEATHER), pick(_LEATHER), skin
    if class_id == 4:
        return pick(_BIKE), pick(_CLOTHES), pick(_TROUSERS), skin
    return pick(_CLOTHES), pick(_TROUSERS), pick(_CLOTHES + _TROUSERS), skin
