"""Layers to try kernels on: small, and between them every way through the kernel."""

from __future__ import annotations

from photofinish.export.kernels.layers.layer import Layer, Slice, Stage, Tile


def source(channels: int, offset: int = 0, stride: int = 0, *, halved: bool = False) -> Slice:
    """Channels of a tensor that has no others, unless a stride is given."""
    return Slice(channels=channels, offset=offset, stride=stride or channels, halved=halved)


def stage(*sources: Slice, out: int, residual: Slice | None = None, stored: bool = True, last: str = "none") -> Stage:
    """A stage with SiLU."""
    return Stage(
        sources=sources, out_channels=out, activation="silu", residual=residual, stored=stored, last_activation=last
    )


def layer(kind: str, *stages: Stage, height: int = 6, width: int = 10, kernel: int = 1, step: int = 1) -> Layer:
    """Two pictures; what a window sees beyond their edges is padding."""
    return Layer(
        kind=kind,
        batch=2,
        height=height,
        width=width,
        out_height=-(-height // step),
        out_width=-(-width // step),
        kernel=kernel,
        step=step,
        padding=kernel // 2,
        depthwise_activation="silu" if kind == "depthwise" else "none",
        stages=stages,
    )


PAIRS = Layer(
    kind="pairs",
    batch=2,
    height=8,
    width=12,
    out_height=4,
    out_width=3,
    kernel=3,
    step=2,
    padding=1,
    stages=(stage(source(3), out=32),),
)

CASES: tuple[tuple[str, Layer, Tile], ...] = (
    (
        "parts side by side, one of them enlarged",
        layer(
            "pointwise",
            stage(source(32, 32, 64), source(16), source(16, halved=True), out=48, residual=source(48, 16, 64)),
        ),
        Tile(pixels=32, channels=32, depth=16),
    ),
    (
        "the enlarged part first",
        layer("pointwise", stage(source(32, halved=True), source(32), out=16)),
        Tile(pixels=16, channels=16, depth=32),
    ),
    (
        "fewer channels than a tile is deep",
        layer("pointwise", stage(source(8), out=6)),
        Tile(pixels=32, channels=16, depth=16),
    ),
    (
        "a window of a part, and what is added",
        layer("window", stage(source(8, 8, 16), out=16, residual=source(16), last="relu"), kernel=3),
        Tile(pixels=32, channels=16, depth=32),
    ),
    (
        "a window in steps of two",
        layer("window", stage(source(16), out=32), height=12, width=20, kernel=3, step=2),
        Tile(pixels=32, channels=32, depth=64),
    ),
    (
        "a wider window",
        layer("window", stage(source(32), out=24), kernel=5),
        Tile(pixels=16, channels=16, depth=32),
    ),
    (
        "a window, and a stage that reads another tensor too",
        layer(
            "window",
            stage(source(16), out=24, stored=False),
            stage(source(16), source(32, 16, 64), out=40, residual=source(40)),
            kernel=3,
        ),
        Tile(pixels=16, channels=16, depth=32),
    ),
    (
        "three stages, the last one wider than its tile",
        layer(
            "window",
            stage(source(16), out=16, residual=source(16), stored=False),
            stage(source(16), out=40),
            stage(source(16), out=600),
            kernel=3,
        ),
        Tile(pixels=16, channels=32, depth=32),
    ),
    (
        "a depthwise convolution before",
        layer("depthwise", stage(source(32), out=64, stored=False), stage(out=6), kernel=3),
        Tile(pixels=16, channels=16, depth=16),
    ),
    (
        "pixels of pictures",
        layer("frames", stage(source(3), out=16), height=14, width=22, kernel=7, step=2),
        Tile(pixels=32, channels=16, depth=64),
    ),
    ("neighbours of pictures", PAIRS, Tile(pixels=16, channels=32, depth=16)),
)
