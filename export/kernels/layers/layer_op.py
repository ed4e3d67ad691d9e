"""The layer as an operator of PyTorch's graphs: the kernel on a GPU, the reference elsewhere."""

from __future__ import annotations

from typing import Any

import torch
from torch.library import triton_op, wrap_triton

from photofinish.export.kernels.layers import layer_triton
from photofinish.export.kernels.layers.layer import (
    ACTIVATIONS,
    KINDS,
    Layer,
    LayerTensors,
    Slice,
    Stage,
    Tile,
    layer_from_text,
    outputs_by_reference,
    power_of_two,
    tensors_of_layer,
    tile_from_text,
)

LAST_TILE = 8192
"""Results that one block of threads holds of the last of several stages."""
_NOTHING = Slice(channels=0, stride=0)


@triton_op("photofinish::layer", mutates_args=())
def layer_outputs(tensors: list[torch.Tensor], layer: str, tile: str) -> list[torch.Tensor]:
    """The stored results of a layer, NHWC FP16. layer, tile: as `to_text` writes them."""
    chosen, cut = layer_from_text(layer), tile_from_text(tile)
    given = tensors_of_layer(chosen, tensors)
    outputs = empty_outputs(chosen, given.stages[0].weight.device)
    arguments, constants = kernel_arguments(chosen, cut, given, outputs)
    wrap_triton(layer_triton.layer_kernel)[(blocks(chosen, cut),)](
        *arguments, **constants, num_warps=cut.warps, num_stages=cut.flight
    )
    return outputs


@layer_outputs.register_kernel("cpu")
def _(tensors: list[torch.Tensor], layer: str, tile: str) -> list[torch.Tensor]:
    chosen = layer_from_text(layer)
    return [output.contiguous() for output in outputs_by_reference(chosen, tensors_of_layer(chosen, tensors))]


def empty_outputs(layer: Layer, device: torch.device) -> list[torch.Tensor]:
    """Where the stored results go."""
    return [
        torch.empty(
            (layer.batch, layer.out_height, layer.out_width, stage.out_channels), dtype=torch.float16, device=device
        )
        for stage in layer.stages
        if stage.stored
    ]


def blocks(layer: Layer, tile: Tile) -> int:
    """Blocks of threads that a layer is cut into."""
    return -(-layer.pixels // tile.pixels) * -(-layer.stages[0].out_channels // first_width(layer, tile))


def first_width(layer: Layer, tile: Tile) -> int:
    """Channels of the first stage that one block computes: all where another stage follows."""
    return power_of_two(layer.stages[0].out_channels) if len(layer.stages) > 1 else tile.channels


def kernel_arguments(
    layer: Layer, tile: Tile, tensors: LayerTensors, outputs: list[torch.Tensor]
) -> tuple[list[torch.Tensor], dict[str, Any]]:
    """The kernel's tensors in order, and its constants. Tensors that it does not touch are stood in for."""
    left = iter(outputs)
    anything = tensors.stages[0].weight
    arguments: list[torch.Tensor] = []
    constants: dict[str, Any] = {
        "MODE": KINDS.index(layer.kind),
        "M": layer.pixels,
        "HI": layer.height,
        "WI": layer.width,
        "HO": layer.out_height,
        "WO": layer.out_width,
        "KERNEL": layer.kernel,
        "STEP": layer.step,
        "PAD": layer.padding,
        "DW_ACT": ACTIVATIONS.index(layer.depthwise_activation),
    }
    for index in range(3):
        stage = layer.stages[index] if index < len(layer.stages) else None
        given = tensors.stages[index] if stage else None
        sources = list(given.sources) if given else []
        room = 4 if index == 0 else 2
        arguments += [*sources, *[anything] * (room - len(sources))]
        if index == 0:
            arguments += [
                anything if tensor is None else tensor for tensor in (tensors.depthwise_weight, tensors.depthwise_bias)
            ]
        arguments += [given.weight, given.bias] if given else [anything, anything]
        arguments.append(given.residual if given and given.residual is not None else anything)
        arguments.append(next(left) if stage and stage.stored else anything)
        constants |= _stage_constants(index, stage)
    final = len(layer.stages) - 1
    widths = [power_of_two(stage.out_channels) for stage in layer.stages] + [16, 16]
    if final > 0:
        # As few turns as registers allow; 32 at least.
        widths[final] = min(widths[final], max(32, tile.channels, LAST_TILE // tile.pixels))
    depths = [_extra_depth(stage, tile) for stage in layer.stages] + [16, 16]
    constants |= {"BM": tile.pixels, "BN": first_width(layer, tile), "BK": tile.depth}
    constants |= {"BN1": widths[1], "BK1": depths[1], "BN2": widths[2], "BK2": depths[2]}
    return arguments, constants


def _extra_depth(stage: Stage, tile: Tile) -> int:
    depth = tile.depth
    while depth > 16 and any(source.channels % depth for source in stage.sources):
        depth //= 2
    return depth


def _stage_constants(index: int, stage: Stage | None) -> dict[str, Any]:
    sources = list(stage.sources) if stage else []
    room = 4 if index == 0 else 2
    names = "{name}{place}" if index == 0 else f"E{{name}}{index}{{place}}"
    constants: dict[str, Any] = {}
    for place in range(room):
        source = sources[place] if place < len(sources) else _NOTHING
        values = {"C": source.channels, "O": source.offset, "S": source.stride, "U": source.halved}
        constants |= {names.format(name=name, place=place): value for name, value in values.items()}
    residual = stage.residual if stage else None
    constants |= {
        f"N{index}": stage.out_channels if stage else 0,
        f"P{index}": stage.padded if stage else 0,
        f"ACT{index}": ACTIVATIONS.index(stage.activation) if stage else 0,
        f"RES{index}": residual is not None,
        f"RO{index}": residual.offset if residual else 0,
        f"RS{index}": residual.stride if residual else 0,
        f"LAST{index}": ACTIVATIONS.index(stage.last_activation) if stage else 0,
    }
    constants[f"STORE{index}"] = bool(stage and stage.stored)
    return constants
