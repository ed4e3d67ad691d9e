"""Steps made a graph again: traced nodes as they were, and one operator for each step that a kernel does."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import replace

import torch
from torch.fx import Graph, GraphModule, Node

from photofinish.export.kernels.graph.steps import (
    AttentionStep,
    Buffer,
    BufferPart,
    GraphStep,
    LayerStep,
    NativeStep,
    PoolsStep,
    Recognised,
    RowsStep,
    read_by,
)
from photofinish.export.kernels.layers import attention as attention_ops
from photofinish.export.kernels.layers import layer_op, rows
from photofinish.export.kernels.layers.layer import (
    Layer,
    Stage,
    Tile,
    packed_weight,
    padded_bias,
    pair_weight,
    with_tile_rows,
)

aten = torch.ops.aten
OPERATORS = (layer_op.layer_outputs, attention_ops.attention, attention_ops.pools, rows.best_rows)
"""Imported, so that they are registered."""


def layer_of_step(step: LayerStep, *, batch: int, read_later: set[str]) -> Layer:
    """The layer that a step is; read_later: keys of buffers that other steps read."""
    last = len(step.stages) - 1
    if step.kind == "pairs":
        # Two neighbours are one pixel of twice the channels: the same memory.
        (only,) = step.stages
        wide = replace(only.stage(stored=True), out_channels=2 * len(only.bias))
        return _layer(step, batch, (step.out_hw[0], step.out_hw[1] // 2), (wide,))
    stages = tuple(
        stage.stage(stored=index == last or stage.out.key in read_later) for index, stage in enumerate(step.stages)
    )
    return _layer(step, batch, step.out_hw, stages)


def _layer(step: LayerStep, batch: int, out_hw: tuple[int, int], stages: tuple[Stage, ...]) -> Layer:
    return Layer(
        kind=step.kind,
        batch=batch,
        height=step.in_hw[0],
        width=step.in_hw[1],
        out_height=out_hw[0],
        out_width=out_hw[1],
        kernel=step.kernel,
        step=step.step,
        padding=step.padding,
        depthwise_activation=step.depthwise_activation,
        stages=stages,
    )


def weights_of_step(step: LayerStep) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Packed weight and padded bias of each stage."""
    found = []
    if step.kind == "pairs":
        (only,) = step.stages
        return [(pair_weight(only.weight), padded_bias(torch.cat((only.bias, only.bias))))]
    for index, stage in enumerate(step.stages):
        packed = packed_weight(stage.weight)
        if index:
            packed = with_tile_rows(packed, channels=len(step.stages[index - 1].bias))
        found.append((packed, padded_bias(stage.bias)))
    return found


class _Emission:
    def __init__(self, module: GraphModule, found: Recognised, choose_tile: Callable[[Layer], Tile]) -> None:
        self.found = found
        self.choose_tile = choose_tile
        self.root = torch.nn.Module()
        self.module = module
        self.graph = Graph()
        self.nodes: dict[Node, Node] = {}
        self.buffers: dict[str, Node] = {}
        self.pictures: dict[tuple[str, int, int, bool], Node] = {}
        self.constants = 0
        self.read = {key for step in found.steps for key in read_by(found, step)}

    def run(self) -> GraphModule:
        for step in self.found.steps:
            self._emit(step)
        self.graph.lint()
        return GraphModule(self.root, self.graph)

    def _emit(self, step: GraphStep) -> None:
        if isinstance(step, NativeStep):
            self._native(step.node)
        elif isinstance(step, RowsStep):
            self._rows(step)
        elif isinstance(step, LayerStep):
            self._layer(step)
        elif isinstance(step, AttentionStep):
            arguments = (self.buffer(step.qkv.buffer), self.constant(step.weight), self.constant(step.bias))
            self.buffers[step.out.key] = self.graph.call_function(
                torch.ops.photofinish.attention.default, (*arguments, step.heads, step.key, step.scale)
            )
        else:
            self._pools(step)

    def _native(self, node: Node) -> None:
        if node.op == "get_attr":
            value: object = self.module
            for name in str(node.target).split("."):
                value = getattr(value, name)
            assert isinstance(value, torch.Tensor)
            self.nodes[node] = self.constant(value.detach())
            return
        if node.op == "output":
            (result,) = node.all_input_nodes
            self.graph.output(self.node(result))
            return
        target = {aten.silu_.default: aten.silu.default, aten.relu_.default: aten.relu.default}.get(
            node.target,
            node.target,
        )
        copied = self.graph.node_copy(node, self.node)
        copied.target = target
        self.nodes[node] = copied

    def node(self, node: Node) -> Node:
        """The new graph's tensor of a traced node."""
        if node not in self.nodes:
            pictures = [self.picture(part) for part in self.found.parts[node]]
            self.nodes[node] = (
                pictures[0] if len(pictures) == 1 else self.graph.call_function(aten.cat.default, (pictures, 1))
            )
        return self.nodes[node]

    def picture(self, part: BufferPart) -> Node:
        """A part as the NCHW tensor that PyTorch's operators expect."""
        key = (part.buffer.key, part.offset, part.channels, part.halved)
        if key not in self.pictures:
            found = self.graph.call_function(aten.permute.default, (self.buffer(part.buffer), [0, 3, 1, 2]))
            if part.channels != part.buffer.channels:
                found = self.graph.call_function(
                    aten.slice.Tensor, (found, 1, part.offset, part.offset + part.channels)
                )
            if part.halved:
                found = self.graph.call_function(aten.upsample_nearest2d.vec, (found, None, [2.0, 2.0]))
            self.pictures[key] = found
        return self.pictures[key]

    def buffer(self, buffer: Buffer) -> Node:
        """The NHWC tensor of a buffer."""
        if buffer.key not in self.buffers:
            node = self.node(self.found.turned[buffer.key])
            if self.found.turned[buffer.key].meta["val"].dtype != torch.uint8:
                node = self.graph.call_function(aten.permute.default, (node, [0, 2, 3, 1]))
                node = self.graph.call_function(aten.contiguous.default, (node,))
            self.buffers[buffer.key] = node
        return self.buffers[buffer.key]

    def constant(self, value: torch.Tensor) -> Node:
        """A tensor kept as a buffer of the new module."""
        name = f"constant_{self.constants}"
        self.constants += 1
        self.root.register_buffer(name, value.clone())
        return self.graph.get_attr(name)

    def _layer(self, step: LayerStep) -> None:
        layer = layer_of_step(step, batch=self.found.batch, read_later=self.read)
        tensors = []
        if step.depthwise_weight is not None and step.depthwise_bias is not None:
            tensors += [self.constant(step.depthwise_weight), self.constant(step.depthwise_bias)]
        for stage, (weight, bias) in zip(step.stages, weights_of_step(step), strict=True):
            tensors += [self.buffer(part.buffer) for part in stage.sources]
            tensors += [self.constant(weight), self.constant(bias)]
            if stage.residual is not None:
                tensors.append(self.buffer(stage.residual.buffer))
        tile = self.choose_tile(layer)
        call = self.graph.call_function(torch.ops.photofinish.layer.default, (tensors, layer.to_text(), tile.to_text()))
        stored = [stage.out for stage, told in zip(step.stages, layer.stages, strict=True) if told.stored]
        for index, out in enumerate(stored):
            result = self.graph.call_function(operator.getitem, (call, index))
            if step.kind == "pairs":
                shape = [layer.batch, out.height, out.width, out.channels]
                result = self.graph.call_function(aten.view.default, (result, shape))
            self.buffers[out.key] = result

    def _pools(self, step: PoolsStep) -> None:
        source = step.source
        self.buffers[step.out.key] = self.graph.call_function(
            torch.ops.photofinish.pools.default,
            (self.buffer(source.buffer), source.offset, source.channels, step.radius, step.times),
        )

    def _rows(self, step: RowsStep) -> None:
        scores, boxes = self.node(step.scores), self.node(step.boxes)
        best = self.graph.call_function(aten.amax.default, (scores, [1 if step.turned else 2]))
        if step.turned:
            scores, boxes = (
                self.graph.call_function(aten.permute.default, (given, [0, 2, 1])) for given in (scores, boxes)
            )
        self.nodes[step.node] = self.graph.call_function(
            torch.ops.photofinish.best_rows.default, (best, scores, boxes, step.limit)
        )


def graph_of_steps(module: GraphModule, found: Recognised, choose_tile: Callable[[Layer], Tile]) -> GraphModule:
    """A module of the same function and signature as the traced one."""
    return _Emission(module, found, choose_tile).run()
