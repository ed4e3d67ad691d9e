"""The steps of a lean graph: what a traced network becomes before it is a graph again."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch.fx import Node

from photofinish.export.kernels.layers.layer import Slice, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Buffer:
    """An NHWC tensor: one result of a step, or a traced node's picture turned over. Compared by identity of `key`."""

    key: str
    height: int
    width: int
    channels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BufferPart:
    """A run of channels of a buffer; halved: seen enlarged by two."""

    buffer: Buffer
    offset: int
    channels: int
    halved: bool = False

    @property
    def source(self) -> Slice:
        """How a layer names it."""
        return Slice(channels=self.channels, offset=self.offset, stride=self.buffer.channels, halved=self.halved)


Parts = tuple[BufferPart, ...]
"""Parts side by side along their channels: what a concatenation is."""


@dataclass(slots=True, kw_only=True, eq=False)
class Convolved:
    """One stage: the parts it reads after the tile before it, and its weights (out, in, height, width) and bias."""

    sources: Parts
    weight: torch.Tensor
    bias: torch.Tensor
    activation: str = "none"
    residual: BufferPart | None = None
    last_activation: str = "none"
    out: Buffer
    names: tuple[str, ...] = ()
    """Of the traced convolutions that it is."""

    def stage(self, *, stored: bool) -> Stage:
        """As the layer names it."""
        return Stage(
            sources=tuple(part.source for part in self.sources),
            out_channels=len(self.bias),
            activation=self.activation,
            residual=self.residual.source if self.residual else None,
            last_activation=self.last_activation,
            stored=stored,
        )


@dataclass(slots=True, kw_only=True, eq=False)
class LayerStep:
    """A layer; `kind` and the geometry are the Layer's."""

    kind: str
    kernel: int = 1
    step: int = 1
    padding: int = 0
    in_hw: tuple[int, int]
    out_hw: tuple[int, int]
    depthwise_weight: torch.Tensor | None = None
    depthwise_bias: torch.Tensor | None = None
    depthwise_activation: str = "none"
    stages: list[Convolved]
    frames: Node | None = None

    @property
    def reads(self) -> list[Buffer]:
        """The buffers it reads."""
        parts = [part for stage in self.stages for part in (*stage.sources, stage.residual) if part is not None]
        return [part.buffer for part in parts]

    @property
    def writes(self) -> list[Buffer]:
        """The buffers it can write."""
        return [stage.out for stage in self.stages]


@dataclass(slots=True, kw_only=True, eq=False)
class AttentionStep:
    """Attention over a picture with the depthwise convolution of its values."""

    qkv: BufferPart
    weight: torch.Tensor
    bias: torch.Tensor
    heads: int
    key: int
    scale: float
    out: Buffer

    @property
    def reads(self) -> list[Buffer]:
        """The buffers it reads."""
        return [self.qkv.buffer]

    @property
    def writes(self) -> list[Buffer]:
        """The buffer it writes."""
        return [self.out]


@dataclass(slots=True, kw_only=True, eq=False)
class PoolsStep:
    """Max-pools in a chain, side by side."""

    source: BufferPart
    radius: int
    times: int
    out: Buffer

    @property
    def reads(self) -> list[Buffer]:
        """The buffers it reads."""
        return [self.source.buffer]

    @property
    def writes(self) -> list[Buffer]:
        """The buffer it writes."""
        return [self.out]


@dataclass(slots=True, kw_only=True, eq=False)
class RowsStep:
    """The choice of the best rows from traced boxes and scores; `node` is the traced node it stands for.

    turned: they are (n, 4, anchors) and (n, classes, anchors), else anchors come before.
    """

    node: Node
    scores: Node
    boxes: Node
    limit: int
    turned: bool = False

    @property
    def anchors(self) -> int:
        """Boxes to choose from."""
        return int(self.scores.meta["val"].shape[2 if self.turned else 1])

    @property
    def classes(self) -> int:
        """Scores of each of them."""
        return int(self.scores.meta["val"].shape[1 if self.turned else 2])


@dataclass(slots=True, kw_only=True, eq=False)
class NativeStep:
    """A traced node as it is, for PyTorch to compile."""

    node: Node


GraphStep = LayerStep | AttentionStep | PoolsStep | RowsStep | NativeStep


@dataclass(slots=True, kw_only=True, eq=False)
class Recognised:
    """All steps in order; parts: what a traced node is where no tensor of its own is needed."""

    batch: int
    steps: list[GraphStep] = field(default_factory=list)
    parts: dict[Node, Parts] = field(default_factory=dict)
    turned: dict[str, Node] = field(default_factory=dict)
    """Buffers that are traced nodes turned to NHWC, by their key."""


def joined(parts: list[BufferPart]) -> Parts:
    """Parts side by side, neighbours in one buffer made one."""
    found: list[BufferPart] = []
    for part in parts:
        last = found[-1] if found else None
        if (
            last is not None
            and last.buffer.key == part.buffer.key
            and last.halved == part.halved
            and last.offset + last.channels == part.offset
        ):
            found[-1] = replace(last, channels=last.channels + part.channels)
        else:
            found.append(part)
    return tuple(found)


def cut(parts: Parts, start: int, length: int) -> Parts:
    """Channels start … start + length of the parts."""
    found: list[BufferPart] = []
    at = 0
    for part in parts:
        low, high = max(start, at), min(start + length, at + part.channels)
        if low < high:
            found.append(replace(part, offset=part.offset + low - at, channels=high - low))
        at += part.channels
    return joined(found)


def read_by(found: Recognised, step: GraphStep) -> set[str]:
    """Keys of the buffers that a step reads."""
    if isinstance(step, NativeStep):
        nodes = step.node.all_input_nodes
    elif isinstance(step, RowsStep):
        nodes = [step.scores, step.boxes]
    else:
        return {buffer.key for buffer in step.reads}
    return {part.buffer.key for node in nodes for part in found.parts.get(node, ())}


def drop_unread(found: Recognised) -> None:
    """Leave out the steps that the output does not need, found backwards."""
    read: set[str] = set()
    wanted: set[Node] = set()
    live: list[GraphStep] = []
    for step in reversed(found.steps):
        if isinstance(step, NativeStep):
            needed = step.node in wanted or step.node.op in ("output", "placeholder")
            nodes = step.node.all_input_nodes
        elif isinstance(step, RowsStep):
            needed, nodes = step.node in wanted, [step.scores, step.boxes]
        else:
            needed, nodes = any(buffer.key in read for buffer in step.writes), []
        if needed:
            live.append(step)
            keys = read_by(found, step)
            read |= keys
            wanted |= {node for node in nodes if node not in found.parts}
            wanted |= {found.turned[key] for key in keys if key in found.turned}
    found.steps = live[::-1]
