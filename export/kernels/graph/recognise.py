"""A traced FP16 network's steps: which of its nodes one kernel can do, and which stay as they are."""

from __future__ import annotations

import operator
from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch.fx import GraphModule, Node

from photofinish.export.kernels.graph import patterns
from photofinish.export.kernels.graph.steps import (
    AttentionStep,
    Buffer,
    BufferPart,
    Convolved,
    LayerStep,
    NativeStep,
    Parts,
    PoolsStep,
    Recognised,
    cut,
    drop_unread,
    joined,
)
from photofinish.export.kernels.layers.layer import MAX_SOURCES
from photofinish.export.kernels.layers.rows import fits

aten = torch.ops.aten
ACTIVATIONS = {
    aten.silu.default: "silu",
    aten.silu_.default: "silu",
    aten.relu.default: "relu",
    aten.relu_.default: "relu",
}
ADDITIONS = (aten.add.Tensor, aten.add_.Tensor)


def steps_of_graph(module: GraphModule, *, leave: Collection[str] = ()) -> Recognised:
    """The steps of a traced network in order. leave: names of convolutions that PyTorch does faster."""
    frames = next(node for node in module.graph.nodes if node.op == "placeholder")
    found = Recognised(batch=frames.meta["val"].shape[0])
    order = {node: place for place, node in enumerate(module.graph.nodes)}
    for node in module.graph.nodes:
        if node.target is aten._assert_tensor_metadata.default or node in found.parts:
            continue
        ours = node.op == "call_function" and node.name not in leave
        if not (ours and _recognised(found, module, node, order)):
            found.steps.append(NativeStep(node=node))
    drop_unread(found)
    return found


def _recognised(found: Recognised, module: GraphModule, node: Node, order: dict[Node, int]) -> bool:
    if node.target is aten.conv2d.default:
        return _convolution(found, module, node, order)
    if node.target in ADDITIONS:
        return _attention(found, module, node)
    if node.target is aten.max_pool2d.default:
        return _pools(found, node)
    if node.target is aten.cat.default:
        rows = patterns.rows_of(node)
        if rows is not None and fits(rows.anchors, rows.classes, rows.limit):
            found.steps.append(rows)
            return True
        return _side_by_side(found, node)
    if node.target is aten.upsample_nearest2d.vec:
        return _enlarged(found, node)
    return node.target is operator.getitem and _piece(found, node)


def parts_of(found: Recognised, node: Node) -> Parts | None:
    """The parts of a node: its own, or its picture turned to NHWC; None where it is no FP16 picture."""
    if node in found.parts:
        return found.parts[node]
    value = node.meta.get("val")
    if not isinstance(value, torch.Tensor) or value.dim() != 4 or value.dtype != torch.float16:
        return None
    _, channels, height, width = value.shape
    buffer = Buffer(key=f"turned {node.name}", height=height, width=width, channels=channels)
    found.turned[buffer.key] = node
    return (BufferPart(buffer=buffer, offset=0, channels=channels),)


def tensor_of(module: GraphModule, node: Any) -> torch.Tensor | None:
    """The constant behind an attribute node."""
    if not isinstance(node, Node) or node.op != "get_attr":
        return None
    value: Any = module
    for name in str(node.target).split("."):
        value = getattr(value, name)
    return value.detach() if isinstance(value, torch.Tensor) else None


def _convolution(found: Recognised, module: GraphModule, node: Node, order: dict[Node, int]) -> bool:
    read = patterns.convolution_of(node)
    weight, bias = tensor_of(module, read.weight), tensor_of(module, read.bias)
    if weight is None or bias is None or weight.dtype != torch.float16 or not read.plain:
        return False
    _, out_channels, out_height, out_width = node.meta["val"].shape
    name = node.name
    step = None
    if read.groups != 1:
        return False
    if (frames := patterns.frames_behind(read.images)) is not None and read.kernel > 1:
        height, width = frames.meta["val"].shape[1:3]
        buffer = Buffer(key=f"turned {frames.name}", height=height, width=width, channels=3)
        found.turned[buffer.key] = frames
        sources: Parts = (BufferPart(buffer=buffer, offset=0, channels=3),)
        step = LayerStep(kind="frames", in_hw=(height, width), out_hw=(out_height, out_width), stages=[])
    elif read.kernel == 1 and (depthwise := _depthwise_behind(found, module, read.images)) is not None:
        step, sources = depthwise
    else:
        images = parts_of(found, read.images)
        if images is None or not _readable(images, read.kernel):
            return False
        sources = images
        height, width = read.images.meta["val"].shape[2:]
        kind = "pointwise" if read.kernel == 1 else "window"
        step = LayerStep(kind=kind, in_hw=(height, width), out_hw=(out_height, out_width), stages=[])
    if step.kind in ("window", "frames"):
        step.kernel, step.step, step.padding = read.kernel, read.step, read.padding
    out = Buffer(key=name, height=out_height, width=out_width, channels=out_channels)
    stage = Convolved(sources=sources, weight=weight, bias=bias, out=out, names=(name,))
    last = _absorb(found, stage, node, order)
    step.stages.append(stage)
    if step.kind == "frames" and patterns.reads_pairs(read, step.in_hw) and stage.residual is None:
        step.kind = "pairs"
    found.steps.append(step)
    here = (BufferPart(buffer=out, offset=0, channels=out_channels),)
    for done in last:
        found.parts[done] = here
    return True


def _readable(parts: Parts, kernel: int) -> bool:
    """Whether a kernel can read these parts: few, in runs that load well, a window of one tensor only."""
    if len(parts) > (MAX_SOURCES if kernel == 1 else 1) or (kernel > 1 and parts[0].halved):
        return False
    unit = 8 if len(parts) == 1 else 16
    return all(not part.channels % unit and not part.offset % 8 and not part.buffer.channels % 8 for part in parts)


def _absorb(found: Recognised, stage: Convolved, node: Node, order: dict[Node, int]) -> list[Node]:
    """Take the activation and the addition behind a convolution into its stage; the nodes that are its result now."""
    nodes, last = [node], node
    if (after := _only_user(last)) is not None and after.target in ACTIVATIONS:
        stage.activation, last = ACTIVATIONS[after.target], after
        nodes = [last]
    after = _only_user(last)
    if after is None or after.target not in ADDITIONS or after.kwargs or patterns.attention_of(after) is not None:
        return nodes
    others = [value for value in after.args if value is not last]
    if len(others) != 1 or not isinstance(others[0], Node) or order[others[0]] > order[node]:
        return nodes
    if others[0].meta["val"].shape != node.meta["val"].shape:
        return nodes
    residual = parts_of(found, others[0])
    if residual is None or len(residual) != 1 or residual[0].halved:
        return nodes
    stage.residual, last = residual[0], after
    nodes = [last]
    if (after := _only_user(last)) is not None and after.target in ACTIVATIONS:
        stage.last_activation = ACTIVATIONS[after.target]
        nodes = [after]
    return nodes


def _only_user(node: Node) -> Node | None:
    users = [user for user in node.users if user.target is not aten._assert_tensor_metadata.default]
    return users[0] if len(users) == 1 else None


def _depthwise_behind(found: Recognised, module: GraphModule, node: Node) -> tuple[LayerStep, Parts] | None:
    """A depthwise convolution (and its activation) that only this 1×1 convolution reads."""
    activation = "none"
    if node.target in ACTIVATIONS and len(node.users) == 1:
        activation, node = ACTIVATIONS[node.target], node.args[0]
    if node.target is not aten.conv2d.default or len(node.users) != 1:
        return None
    read = patterns.convolution_of(node)
    weight, bias = tensor_of(module, read.weight), tensor_of(module, read.bias)
    if weight is None or bias is None or not read.plain or read.groups != len(bias) or weight.shape[1] != 1:
        return None
    images = parts_of(found, read.images)
    channels = len(bias)
    if images is None or not _readable(images, 3) or channels % 16 or images[0].channels != channels:
        return None
    height, width = read.images.meta["val"].shape[2:]
    step = LayerStep(
        kind="depthwise",
        kernel=read.kernel,
        step=read.step,
        padding=read.padding,
        in_hw=(height, width),
        out_hw=tuple(node.meta["val"].shape[2:]),
        depthwise_weight=weight.reshape(channels, -1).t().contiguous(),
        depthwise_bias=bias,
        depthwise_activation=activation,
        stages=[],
    )
    return step, images


def _side_by_side(found: Recognised, node: Node) -> bool:
    nodes, dim = node.args[0], node.args[1] if len(node.args) > 1 else 0
    value = node.meta["val"]
    if value.dim() != 4 or dim != 1 or not isinstance(nodes, Sequence):
        return False
    parts = [parts_of(found, given) for given in nodes if isinstance(given, Node)]
    if any(part is None for part in parts) or len(parts) != len(nodes):
        return False
    found.parts[node] = joined([part for given in parts if given for part in given])
    return True


def _enlarged(found: Recognised, node: Node) -> bool:
    parts = parts_of(found, node.args[0])
    if parts is None or list(node.args[1:]) != [None, [2.0, 2.0]] or any(part.halved for part in parts):
        return False
    found.parts[node] = tuple(
        BufferPart(buffer=part.buffer, offset=part.offset, channels=part.channels, halved=True) for part in parts
    )
    return True


def _piece(found: Recognised, node: Node) -> bool:
    """One result of a split along the channels."""
    split, index = node.args
    if not isinstance(split, Node) or split.target not in (aten.chunk.default, aten.split_with_sizes.default):
        return False
    whole = split.args[0]
    if split.args[2:] != (1,) or not isinstance(whole, Node) or whole not in found.parts:
        return False
    sizes = [value.shape[1] for value in split.meta["val"]]
    assert isinstance(index, int)
    found.parts[node] = cut(found.parts[whole], sum(sizes[:index]), sizes[index])
    return True


def _pools(found: Recognised, node: Node) -> bool:
    chain = patterns.pools_from(node)
    images = parts_of(found, node.args[0])
    if not chain or images is None or not _readable(images, 3):
        return False
    source = images[0]
    out = Buffer(
        key=node.name,
        height=source.buffer.height,
        width=source.buffer.width,
        channels=source.channels * len(chain),
    )
    radius = patterns.radius_of(node)
    found.steps.append(PoolsStep(source=source, radius=radius, times=len(chain), out=out))
    for place, pool in enumerate(chain):
        found.parts[pool] = (BufferPart(buffer=out, offset=place * source.channels, channels=source.channels),)
    return True


def _attention(found: Recognised, module: GraphModule, node: Node) -> bool:
    seen = patterns.attention_of(node)
    if seen is None:
        return False
    qkv = parts_of(found, seen.qkv)
    weight, bias = tensor_of(module, seen.weight), tensor_of(module, seen.bias)
    if qkv is None or len(qkv) != 1 or weight is None or bias is None or qkv[0].channels != qkv[0].buffer.channels:
        return False
    channels = len(bias)
    out = Buffer(key=node.name, height=qkv[0].buffer.height, width=qkv[0].buffer.width, channels=channels)
    found.steps.append(
        AttentionStep(
            qkv=qkv[0],
            weight=weight.reshape(channels, 9).t().contiguous(),
            bias=bias,
            heads=seen.heads,
            key=seen.key,
            scale=seen.scale,
            out=out,
        )
    )
    found.parts[node] = (BufferPart(buffer=out, offset=0, channels=channels),)
    return True
