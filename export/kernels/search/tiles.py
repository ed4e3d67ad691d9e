"""Tiles worth trying for a layer, most promising first."""

from __future__ import annotations

from collections import Counter

from photofinish.export.kernels.layers.layer import Layer, Tile, power_of_two

PIXELS = (16, 32, 64, 128)
CHANNELS = (16, 32, 64, 128)
DEPTHS = {16: 1.15, 32: 1.02, 64: 1.0, 128: 1.08}
WARPS = {2: 1.08, 4: 1.0, 8: 1.03}
"""By how much longer the same took than with 64 and 4, in the middle of some hundred pairs on one H200."""
REPEATED = 1.12
SHARED_BYTES = 96 << 10
"""Of shared memory that the loads in flight of one block may take; what every GPU since Ampere has."""


def tiles_of_layer(layer: Layer, *, multiprocessors: int, limit: int) -> list[Tile]:
    """At most `limit` tiles, by an estimate of their time."""
    stage = layer.stages[0]
    widest = power_of_two(stage.out_channels)
    found = []
    for pixels in PIXELS:
        for channels in (widest,) if len(layer.stages) > 1 else CHANNELS:
            if channels > widest or (len(layer.stages) > 1 and pixels * channels > 128 * 128):
                continue
            for depth in DEPTHS:
                if depth > power_of_two(layer.depth) or not _divides(layer, depth):
                    continue
                if layer.kind == "pairs" and (channels < widest or depth > 16):
                    continue
                for warps in WARPS:
                    if _asynchronous(pixels, warps) and (len(layer.stages) > 1 or layer.kind in ("frames", "pairs")):
                        continue
                    # From a few sums a thread to what its registers hold, with a second tile where another follows.
                    if not 4 <= pixels * channels / (warps * 32) <= (64 if len(layer.stages) > 1 else 128):
                        continue
                    loops = 1 if layer.kind in ("frames", "pairs") else -(-layer.depth // depth)
                    for flight in (2,) if loops == 1 else (1, 2) if layer.kind == "depthwise" else (2, 3, 4):
                        tile = Tile(pixels=pixels, channels=channels, depth=depth, warps=warps, flight=flight)
                        if (flight > 2 and loops < flight) or (pixels + channels) * depth * 2 * flight > SHARED_BYTES:
                            continue
                        found.append((estimate_us(layer, tile, multiprocessors), tile))
    return _varied(found, limit)


def _asynchronous(pixels: int, warps: int) -> bool:
    """Whether Hopper's asynchronous products are used.

    Several of them in one kernel are miscompiled by the assembler of CUDA 12.8 that Triton 3.6 brings: descriptors
    are made from a register that was never set.
    """
    return pixels >= 64 and warps % 4 == 0


def _divides(layer: Layer, depth: int) -> bool:
    """Whether steps of this depth never run from one source into the next."""
    sources = layer.stages[0].sources
    if layer.kind == "depthwise" or len(sources) > 1:
        return all(source.channels % depth == 0 for source in sources)
    return True


def _varied(found: list[tuple[float, Tile]], limit: int) -> list[Tile]:
    """The most promising ones, a shape that was taken being less so the next time: the estimate is a rough one."""
    left = list(found)
    taken: list[Tile] = []
    shapes: Counter[tuple[int, int]] = Counter()
    while left and len(taken) < limit:
        best = min(left, key=lambda pair: pair[0] * REPEATED ** shapes[pair[1].pixels, pair[1].channels])
        left.remove(best)
        taken.append(best[1])
        shapes[best[1].pixels, best[1].channels] += 1
    return taken


def estimate_us(layer: Layer, tile: Tile, multiprocessors: int) -> float:
    """A rough time: the loops of a block one after the other, and what each multiprocessor must load."""
    stage = layer.stages[0]
    blocks = -(-layer.pixels // tile.pixels) * -(-stage.out_channels // tile.channels)
    loops = -(-layer.depth // tile.depth)
    loaded = loops * tile.depth * (tile.pixels + tile.channels) * 2
    before, extra_loops = stage.out_channels, 0
    for later in layer.stages[1:]:
        depth = power_of_two(before) + sum(source.channels for source in later.sources)
        loaded += 2 * depth * power_of_two(later.out_channels)
        extra_loops += 1 + depth // 128
        before = later.out_channels
    flying = (tile.pixels + tile.channels) * tile.depth * 2 * tile.flight
    resident = max(1, min(16, 64 // tile.warps, SHARED_BYTES * 2 // flying))
    each = -(-blocks // multiprocessors)
    waves = -(-each // resident)
    block_us = 0.9 + loops * (0.06 + 0.3 / tile.flight) + extra_loops * 0.6
    products = tile.pixels * tile.channels * tile.depth / (tile.warps * 32) * loops * 1e-5
    return (waves * (block_us + products) + each * loaded / 90e3) * WARPS[tile.warps] * DEPTHS[tile.depth]
