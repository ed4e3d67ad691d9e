"""A layer: a convolution with bias, activation and residual, and the 1×1 convolutions that follow it, as one kernel.

Pictures are NHWC. A source is a run of channels of a tensor, so that nothing is concatenated, split or enlarged first.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace

import torch
from torch.nn import functional

ACTIVATIONS = ("none", "silu", "relu", "sigmoid")
KINDS = ("pointwise", "window", "depthwise", "frames", "pairs")
MAX_SOURCES = 4
PAIR_DEPTH = 64
"""Bytes in a word × 16, of which 12 are three rows of four words: what two neighbours see."""
MAX_EXTRAS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """`channels` of a tensor's `stride` channels, from `offset` on; halved: it is seen enlarged by two (nearest)."""

    channels: int
    offset: int = 0
    stride: int
    halved: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One convolution. sources: what it reads, after the tile of the stage before; stored: others read its result."""

    sources: tuple[Slice, ...]
    out_channels: int
    activation: str = "none"
    residual: Slice | None = None
    last_activation: str = "none"
    stored: bool = True

    @property
    def padded(self) -> int:
        """The width of its weights: tensor cores want multiples of 16."""
        return -(-self.out_channels // 16) * 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """kind: pointwise (1×1), window (kernel × kernel), depthwise (one, then 1×1), frames (a window of uint8 pixels).

    pairs: a 3×3 window of step 2 of uint8 pixels for two neighbours at once; half as wide, with twice the channels.
    """

    kind: str
    batch: int
    height: int
    width: int
    out_height: int
    out_width: int
    kernel: int = 1
    step: int = 1
    padding: int = 0
    depthwise_activation: str = "none"
    stages: tuple[Stage, ...]

    @property
    def pixels(self) -> int:
        """Of all its output pictures."""
        return self.batch * self.out_height * self.out_width

    @property
    def depth(self) -> int:
        """Products summed for one output value of the first stage."""
        channels = sum(source.channels for source in self.stages[0].sources)
        if self.kind == "pairs":
            return PAIR_DEPTH
        return channels * self.kernel**2 if self.kind in ("window", "frames") else channels

    @property
    def multiplications(self) -> int:
        """Of all stages."""
        total, before = self.depth * self.stages[0].out_channels, self.stages[0].out_channels
        if self.kind == "depthwise":
            total += self.stages[0].sources[0].channels * self.kernel**2
        for stage in self.stages[1:]:
            total += (before + sum(source.channels for source in stage.sources)) * stage.out_channels
            before = stage.out_channels
        return total * self.pixels

    def to_text(self) -> str:
        """JSON, the form in which it travels through a graph."""
        return json.dumps(asdict(self), separators=(",", ":"))


def representative(layer: Layer) -> Layer:
    """A layer of the same work: where in a tensor its sources begin makes no difference that is worth a search."""

    def plain(source: Slice) -> Slice:
        return replace(source, offset=0, stride=source.channels)

    stages = tuple(
        replace(
            stage,
            sources=tuple(plain(source) for source in stage.sources),
            residual=plain(stage.residual) if stage.residual else None,
        )
        for stage in layer.stages
    )
    return replace(layer, stages=stages)


def layer_from_text(text: str) -> Layer:
    """The layer that `to_text` wrote."""
    values = json.loads(text)
    stages = tuple(
        Stage(
            **{
                **stage,
                "sources": tuple(Slice(**source) for source in stage["sources"]),
                "residual": Slice(**stage["residual"]) if stage["residual"] else None,
            }
        )
        for stage in values.pop("stages")
    )
    return Layer(**values, stages=stages)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """How a kernel cuts a layer: pixels × output channels a block, products a step, warps, loads in flight."""

    pixels: int
    channels: int
    depth: int
    warps: int = 4
    flight: int = 3

    def to_text(self) -> str:
        """JSON, the form in which it travels through a graph."""
        return json.dumps(asdict(self), separators=(",", ":"))


def tile_from_text(text: str) -> Tile:
    """The tile that `to_text` wrote."""
    return Tile(**json.loads(text))


def power_of_two(least: int) -> int:
    """The smallest power of two that is at least `least` and 16."""
    return max(16, 1 << (least - 1).bit_length())


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTensors:
    """What one stage reads: sources and residual NHWC, weight (depth, padded channels), bias (padded channels,)."""

    sources: list[torch.Tensor]
    weight: torch.Tensor
    bias: torch.Tensor
    residual: torch.Tensor | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerTensors:
    """The tensors of a layer; depthwise ones only where the kind says so: weight (taps, channels), bias (channels,)."""

    depthwise_weight: torch.Tensor | None
    depthwise_bias: torch.Tensor | None
    stages: list[StageTensors]


def tensors_of_layer(layer: Layer, flat: list[torch.Tensor]) -> LayerTensors:
    """The flat list that travels through a graph, taken apart."""
    left = list(flat)
    depthwise = [left.pop(0), left.pop(0)] if layer.kind == "depthwise" else [None, None]
    stages = []
    for stage in layer.stages:
        sources = [left.pop(0) for _ in stage.sources]
        weight, bias = left.pop(0), left.pop(0)
        residual = left.pop(0) if stage.residual else None
        stages.append(StageTensors(sources=sources, weight=weight, bias=bias, residual=residual))
    return LayerTensors(depthwise_weight=depthwise[0], depthwise_bias=depthwise[1], stages=stages)


def flat_from_tensors(tensors: LayerTensors) -> list[torch.Tensor]:
    """The flat list of `tensors_of_layer`."""
    flat = [tensor for tensor in (tensors.depthwise_weight, tensors.depthwise_bias) if tensor is not None]
    for stage in tensors.stages:
        flat += [*stage.sources, stage.weight, stage.bias]
        if stage.residual is not None:
            flat.append(stage.residual)
    return flat


def packed_weight(weight_oihw: torch.Tensor) -> torch.Tensor:
    """(depth, padded channels): a convolution's weight by tap, then input channel."""
    out_channels, in_channels, height, width = weight_oihw.shape
    packed = weight_oihw.permute(2, 3, 1, 0).reshape(height * width * in_channels, out_channels)
    return functional.pad(packed, (0, -out_channels % 16)).contiguous()


def with_tile_rows(packed: torch.Tensor, *, channels: int) -> torch.Tensor:
    """A later stage's packed weight: its first `channels` rows, padded to the width of the tile they multiply."""
    missing = power_of_two(channels) - channels
    return torch.cat((packed[:channels], packed.new_zeros(missing, packed.shape[1]), packed[channels:]))


def pair_weight(weight_oihw: torch.Tensor) -> torch.Tensor:
    """(64, padded 2 · out): a 3×3 window of step 2 of RGB pixels as two neighbours see it, by byte, row and word.

    Of the four words of a row, the left pixel's window begins at byte 1 and the right one's at byte 7.
    """
    out_channels = weight_oihw.shape[0]
    rows = weight_oihw.permute(2, 3, 1, 0).reshape(3, 9, out_channels)
    seen = weight_oihw.new_zeros((4, 4, 4, 2 * out_channels))
    for place in range(9):
        for neighbour, first in enumerate((1, 7)):
            word, byte = divmod(place + first, 4)
            columns = slice(neighbour * out_channels, (neighbour + 1) * out_channels)
            seen[byte, :3, word, columns] = rows[:, place]
    return functional.pad(seen.reshape(PAIR_DEPTH, -1), (0, -2 * out_channels % 16)).contiguous()


def padded_bias(bias: torch.Tensor) -> torch.Tensor:
    """The bias padded as its weight is."""
    return functional.pad(bias, (0, -len(bias) % 16)).contiguous()


def outputs_by_reference(layer: Layer, tensors: LayerTensors) -> list[torch.Tensor]:
    """What the kernel computes, in plain PyTorch: sums in FP32, FP16 between stages. Stored results only, NHWC."""
    outputs: list[torch.Tensor] = []
    tile: torch.Tensor | None = None
    for index, (stage, given) in enumerate(zip(layer.stages, tensors.stages, strict=True)):
        images = [_seen(tensor, source) for tensor, source in zip(given.sources, stage.sources, strict=True)]
        weight = given.weight[:, : stage.out_channels].float()
        if index == 0:
            summed = _first_sum(layer, torch.cat(images, dim=3), weight, tensors)
        else:
            assert tile is not None
            missing = power_of_two(tile.shape[3]) - tile.shape[3]
            summed = torch.cat([functional.pad(tile, (0, missing)), *images], dim=3).float() @ weight
        found = _activated(summed + given.bias[: stage.out_channels].float(), stage.activation)
        if stage.residual is not None and given.residual is not None:
            found = found + _seen(given.residual, stage.residual).float()
        tile = _activated(found, stage.last_activation).half()
        if stage.stored:
            outputs.append(tile)
    return outputs


def _seen(tensor: torch.Tensor, source: Slice) -> torch.Tensor:
    """The part of an NHWC tensor that a source names."""
    seen = tensor[..., source.offset : source.offset + source.channels]
    return seen.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2) if source.halved else seen


def _first_sum(layer: Layer, images_nhwc: torch.Tensor, weight: torch.Tensor, tensors: LayerTensors) -> torch.Tensor:
    if layer.kind == "pointwise":
        return images_nhwc.float() @ weight
    if layer.kind == "pairs":
        return _words(layer, images_nhwc) @ weight
    images = images_nhwc.permute(0, 3, 1, 2)
    if layer.kind == "frames":
        images = (images.float() / 255).half()
    images = images.float()
    if layer.kind == "depthwise":
        assert tensors.depthwise_weight is not None
        assert tensors.depthwise_bias is not None
        channels = images.shape[1]
        taps = tensors.depthwise_weight.float().t().reshape(channels, 1, layer.kernel, layer.kernel)
        found = functional.conv2d(
            images, taps, tensors.depthwise_bias.float(), layer.step, layer.padding, groups=channels
        )
        return _activated(found, layer.depthwise_activation).half().permute(0, 2, 3, 1).float() @ weight
    in_channels = images.shape[1]
    window = weight.reshape(layer.kernel, layer.kernel, in_channels, -1).permute(3, 2, 0, 1)
    return functional.conv2d(images, window, None, layer.step, layer.padding).permute(0, 2, 3, 1)


def _words(layer: Layer, frames_nhwc: torch.Tensor) -> torch.Tensor:
    """(n, height, pairs, 64): the scaled bytes that each pair sees, in the order of `pair_weight`."""
    lines = (frames_nhwc.float() / 255).half().float().flatten(2)
    lines = functional.pad(lines, (4, 0, 1, 1))
    seen = lines.unfold(1, 3, 2)[:, : layer.out_height].unfold(2, 16, 12)[:, :, : layer.out_width]
    seen = seen.unflatten(4, (4, 4)).permute(0, 1, 2, 5, 3, 4)
    return functional.pad(seen, (0, 0, 0, 1)).flatten(3)


def _activated(values: torch.Tensor, activation: str) -> torch.Tensor:
    if activation == "silu":
        return functional.silu(values)
    if activation == "relu":
        return functional.relu(values)
    return values.sigmoid() if activation == "sigmoid" else values
