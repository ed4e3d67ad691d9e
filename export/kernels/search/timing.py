"""How long a layer takes on this GPU: its kernel, and PyTorch's own operators for the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from photofinish.export.kernels.layers.layer import (
    Layer,
    LayerTensors,
    Slice,
    StageTensors,
    Tile,
    outputs_by_reference,
    power_of_two,
)
from photofinish.export.kernels.layers.layer_op import blocks, empty_outputs, kernel_arguments
from photofinish.export.kernels.search.compile import compiled_layer

LAUNCHES = 20
"""In one graph: as in a network, each begins when the one before has ended."""
REPLAYS = 5
WRONG_FROM = 0.03
"""Largest difference from the reference, of values of about one, that FP16 between two stages can explain."""


def random_tensors(layer: Layer, device: str, generator: torch.Generator | None = None) -> LayerTensors:
    """Tensors of the right shapes, values of about one: results are finite."""

    def values(*shape: int, scale: float = 1.0) -> torch.Tensor:
        return (torch.randn(shape, generator=generator, device=device) * scale).half()

    stages, before = [], 0
    for index, stage in enumerate(layer.stages):
        first = index == 0
        high, wide = (layer.height, layer.width) if first else (layer.out_height, layer.out_width)
        sources = []
        for source in stage.sources:
            shape = (layer.batch, high >> source.halved, wide >> source.halved, source.stride)
            if first and layer.kind in ("frames", "pairs"):
                sources.append(torch.randint(0, 256, shape, generator=generator, device=device).to(torch.uint8))
            else:
                sources.append(values(*shape))
        depth = layer.depth if first else power_of_two(before) + sum(source.channels for source in stage.sources)
        weight = values(depth, stage.padded, scale=depth**-0.5)
        bias = values(stage.padded)
        weight[:, stage.out_channels :] = 0
        bias[stage.out_channels :] = 0
        out_shape = (layer.batch, layer.out_height, layer.out_width)
        residual = values(*out_shape, stage.residual.stride) if stage.residual else None
        stages.append(StageTensors(sources=sources, weight=weight, bias=bias, residual=residual))
        before = stage.out_channels
    channels = layer.stages[0].sources[0].channels
    depthwise = layer.kind == "depthwise"
    return LayerTensors(
        depthwise_weight=values(layer.kernel**2, channels, scale=0.3) if depthwise else None,
        depthwise_bias=values(channels) if depthwise else None,
        stages=stages,
    )


def graph_us(run: Callable[[], Any]) -> float:
    """Microseconds of one call among many in a CUDA graph: the least of a few replays."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        run()
    stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        for _ in range(LAUNCHES):
            run()
    spent_ms = []
    for _ in range(REPLAYS + 1):
        begun, ended = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begun.record()
        graph.replay()
        ended.record()
        ended.synchronize()
        spent_ms.append(begun.elapsed_time(ended))
    return float(min(spent_ms[1:])) * 1000 / LAUNCHES


def launcher(layer: Layer, tile: Tile, tensors: LayerTensors, outputs: list[torch.Tensor]) -> Callable[[], None]:
    """A call that runs the compiled kernel once."""
    capability = torch.cuda.get_device_capability()
    kernel = compiled_layer(layer, tile, capability[0] * 10 + capability[1])
    arguments, constants = kernel_arguments(layer, tile, tensors, outputs)
    run = kernel[(blocks(layer, tile), 1, 1)]
    return lambda: run(*arguments, *constants.values())


class LayerBench:
    """A layer's random tensors and its right results, for many tiles."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self.tensors = random_tensors(layer, "cuda")
        self.outputs = empty_outputs(layer, torch.device("cuda"))
        self.expected = [output.half() for output in outputs_by_reference(layer, self.tensors)]

    def us(self, tile: Tile) -> float:
        """Microseconds of the kernel with this tile; ArithmeticError where its results are wrong."""
        for output in self.outputs:
            output.fill_(torch.nan)
        torch.cuda.synchronize()
        spent_us = graph_us(launcher(self.layer, tile, self.tensors, self.outputs))
        for output, right in zip(self.outputs, self.expected, strict=True):
            off = (output - right).abs().max().item()
            if not off < WRONG_FROM:
                raise ArithmeticError(f"results are off by {off:.3g}")
        return spent_us


def native_us(layer: Layer) -> float:
    """Microseconds of a one-stage layer by PyTorch: its convolution, then one kernel for each thing behind it."""
    (stage,) = layer.stages
    device = "cuda"
    channels = sum(source.channels for source in stage.sources)
    kernel = layer.kernel if layer.kind in ("window", "frames") else 1
    images = _picture(layer.batch, channels, layer.height, layer.width)
    weight = torch.randn(stage.out_channels, channels, kernel, kernel, device=device).half()
    weight = weight.to(memory_format=torch.channels_last)
    bias = torch.randn(stage.out_channels, device=device).half()
    residual = _picture(layer.batch, stage.out_channels, layer.out_height, layer.out_width)
    parts = [images[:, : source.channels].contiguous(memory_format=torch.channels_last) for source in stage.sources]
    taps = torch.randn(channels, 1, layer.kernel, layer.kernel, device=device).half()
    taps_bias = torch.randn(channels, device=device).half()

    def run() -> None:
        seen = torch.cat(parts, dim=1) if _is_gathered(stage.sources) else images
        if layer.kind == "depthwise":
            seen = functional.conv2d(seen, taps, taps_bias, layer.step, layer.padding, groups=channels)
            seen = functional.silu(seen, inplace=True) if layer.depthwise_activation == "silu" else seen
        step, padding = (layer.step, layer.padding) if kernel > 1 else (1, 0)
        found = functional.conv2d(seen, weight, bias, step, padding)
        if stage.activation == "silu":
            functional.silu(found, inplace=True)
        elif stage.activation == "relu":
            functional.relu(found, inplace=True)
        if stage.residual is not None:
            found.add_(residual)

    return graph_us(run)


def _picture(batch: int, channels: int, height: int, width: int) -> torch.Tensor:
    images = torch.randn(batch, channels, height, width, device="cuda").half()
    return images.to(memory_format=torch.channels_last)


def _is_gathered(sources: tuple[Slice, ...]) -> bool:
    return len(sources) > 1 or any(source.halved for source in sources)
