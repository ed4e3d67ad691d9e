"""Layers joined: convolutions of one source side by side, and 1×1 convolutions run on the tile before it is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from photofinish.export.kernels.graph.steps import (
    AttentionStep,
    Buffer,
    BufferPart,
    Convolved,
    GraphStep,
    LayerStep,
    PoolsStep,
    Recognised,
    read_by,
)
from photofinish.export.kernels.layers.layer import MAX_EXTRAS

MAX_STAGES = 3
WIDEST_TILE = 256
"""Channels that one block of threads keeps between two stages."""


def join_siblings(found: Recognised) -> None:
    """1×1 convolutions that read the same parts in the same way become one, in place."""
    first: dict[tuple[object, ...], LayerStep] = {}
    for step in list(found.steps):
        if not isinstance(step, LayerStep) or step.kind != "pointwise" or len(step.stages) > 1:
            continue
        stage = step.stages[0]
        if stage.residual is not None or stage.last_activation != "none" or len(stage.bias) % 8:
            continue
        key = (stage.sources, stage.activation)
        if (elder := first.get(key)) is None:
            first[key] = step
            continue
        one = elder.stages[0]
        both = replace(one.out, key=f"{one.out.key}+{stage.out.key}", channels=one.out.channels + stage.out.channels)
        _rename(found, one.out, both, 0)
        _rename(found, stage.out, both, one.out.channels)
        elder.stages = [
            Convolved(
                sources=stage.sources,
                weight=torch.cat((one.weight, stage.weight)),
                bias=torch.cat((one.bias, stage.bias)),
                activation=stage.activation,
                out=both,
                names=one.names + stage.names,
            )
        ]
        found.steps.remove(step)


def _rename(found: Recognised, old: Buffer, new: Buffer, offset: int) -> None:
    def renamed(part: BufferPart) -> BufferPart:
        return replace(part, buffer=new, offset=part.offset + offset) if part.buffer.key == old.key else part

    for step in found.steps:
        if isinstance(step, LayerStep):
            for stage in step.stages:
                stage.sources = tuple(renamed(part) for part in stage.sources)
                stage.residual = renamed(stage.residual) if stage.residual else None
        elif isinstance(step, AttentionStep):
            step.qkv = renamed(step.qkv)
        elif isinstance(step, PoolsStep):
            step.source = renamed(step.source)
    for node, parts in found.parts.items():
        found.parts[node] = tuple(renamed(part) for part in parts)


def joined_step(first: LayerStep, second: LayerStep) -> LayerStep | None:
    """`second` run on the tiles of `first`; None where it does not fit: those of `pairs` hold two pixels each."""
    out = first.stages[-1].out
    stage = second.stages[0]
    own = [part for part in stage.sources if part.buffer.key == out.key]
    others = [part for part in stage.sources if part.buffer.key != out.key]
    residuals = [later.residual for later in second.stages if later.residual is not None]
    written = {earlier.out.key for earlier in first.stages}
    also = [*others, *residuals, *(part for later in second.stages[1:] for part in later.sources)]
    if (
        second.kind != "pointwise"
        or first.kind == "pairs"
        or len(own) != 1
        or own[0].halved
        or len(others) > MAX_EXTRAS
        or any(part.buffer.key in written for part in also)
        or len(first.stages) + len(second.stages) > MAX_STAGES
        or out.channels > WIDEST_TILE
        or any(part.channels % 16 for part in others)
        or first.out_hw != second.out_hw
    ):
        return None
    return replace(
        first,
        stages=[
            *first.stages,
            replace(stage, sources=tuple(others), weight=_tile_weight(stage, own[0], out)),
            *second.stages[1:],
        ],
    )


def _tile_weight(stage: Convolved, own: BufferPart, out: Buffer) -> torch.Tensor:
    """The weight with the tile's channels first; channels of the tile that are not read have zeros."""
    pieces, at = {}, 0
    for part in stage.sources:
        pieces[part] = stage.weight[:, at : at + part.channels]
        at += part.channels
    tile = stage.weight.new_zeros((len(stage.bias), out.channels, 1, 1))
    tile[:, own.offset : own.offset + own.channels] = pieces[own]
    return torch.cat((tile, *(pieces[part] for part in stage.sources if part is not own)), dim=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Places of steps that can follow each other in one kernel, each the reader of the one before."""

    places: tuple[int, ...]


def chains(found: Recognised) -> list[Chain]:
    """Longest runs of layers of which each can be joined behind the one before; others read nothing in between."""
    reads = [read_by(found, step) for step in found.steps]
    follower: dict[int, int] = {}
    taken: set[int] = set()
    for place, step in enumerate(found.steps):
        if not isinstance(step, LayerStep) or step.kind != "pointwise":
            continue
        for earlier in range(place - 1, -1, -1):
            before = found.steps[earlier]
            if not isinstance(before, LayerStep) or before.stages[-1].out.key not in reads[place]:
                continue
            written = {stage.out.key for stage in before.stages}
            untouched = not any(written & reads[between] for between in range(earlier + 1, place))
            if untouched and earlier not in follower and joined_step(before, step) is not None:
                follower[earlier] = place
                taken.add(place)
            break
    found_chains = []
    for place, step in enumerate(found.steps):
        if isinstance(step, LayerStep) and place not in taken:
            places = [place]
            while places[-1] in follower:
                places.append(follower[places[-1]])
            found_chains.append(Chain(places=tuple(places)))
    return found_chains


def joined_places(found: Recognised, places: tuple[int, ...]) -> LayerStep | None:
    """The one step that the steps at these places can be; None where they do not fit together."""
    step: LayerStep | None = None
    for place in places:
        following = found.steps[place]
        assert isinstance(following, LayerStep)
        step = following if step is None else joined_step(step, following)
        if step is None:
            return None
    return step


def join_chains(found: Recognised, groups: Sequence[tuple[int, ...]]) -> None:
    """Make the steps of each group of places one, at the last of them."""
    at_last = {places[-1]: joined_places(found, places) for places in groups}
    gone = {place for places in groups for place in places[:-1]}
    steps: list[GraphStep] = []
    for place, step in enumerate(found.steps):
        if place not in gone:
            joined = at_last.get(place, step)
            assert joined is not None
            steps.append(joined)
    found.steps = steps
