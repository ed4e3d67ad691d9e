"""What traced nodes look like: a convolution's arguments, attention, max-pools in a chain, the choice of rows."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import Node

from photofinish.export.kernels.graph.steps import RowsStep

aten = torch.ops.aten


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvolutionNode:
    """A convolution's arguments; plain: square, not dilated, padded alike on all sides."""

    images: Node
    weight: Any
    bias: Any
    kernel: int
    step: int
    padding: int
    groups: int
    plain: bool


def convolution_of(node: Node) -> ConvolutionNode:
    """The arguments of a `conv2d` node."""
    defaults: list[Any] = [None, [1, 1], [0, 0], [1, 1], 1]
    given = list(node.args)
    images, weight, bias, step, padding, dilation, groups = [*given, *defaults[len(given) - 2 :]]
    kernel = list(weight.meta["val"].shape[2:]) if isinstance(weight, Node) else [0, 1]
    sides = [kernel, list(step), list(padding) if isinstance(padding, Sequence) else [0, 1]]
    plain = all(len(pair) == 2 and pair[0] == pair[1] for pair in sides) and list(dilation) == [1, 1]
    plain = plain and (kernel[0] > 1 or (sides[1][0] == 1 and sides[2][0] == 0)) and not node.kwargs
    return ConvolutionNode(
        images=images,
        weight=weight,
        bias=bias,
        kernel=kernel[0],
        step=sides[1][0],
        padding=sides[2][0],
        groups=groups,
        plain=plain,
    )


def reads_pairs(read: ConvolutionNode, in_hw: tuple[int, int]) -> bool:
    """Whether two neighbours of a convolution of RGB pixels can be done at once: whole words, whole pairs."""
    return (read.kernel, read.step, read.padding) == (3, 2, 1) and in_hw[1] % 4 == 0 and in_hw[0] % 2 == 0


def frames_behind(node: Node) -> Node | None:
    """The uint8 NHWC pictures of which this node is the FP16 image: divided by 255, transposed."""
    half = _behind(node, aten.to.dtype, torch.float16)
    turned = _behind(half, aten.permute.default, [0, 3, 1, 2])
    scaled = _behind(turned, aten.div.Tensor, 255)
    frames = _behind(scaled, aten.to.dtype, torch.float32)
    return frames if frames is not None and frames.meta["val"].dtype == torch.uint8 else None


def _behind(node: Node | None, target: Any, argument: Any) -> Node | None:
    if node is None or node.target is not target or len(node.args) != 2 or node.args[1] != argument:
        return None
    return node.args[0]


def radius_of(pool: Node) -> int:
    """Of a max-pool's window."""
    kernel: Any = pool.args[1]
    return int(kernel[0]) // 2


def pools_from(node: Node) -> list[Node]:
    """At most three equal max-pools that keep the size, each reading the one before; empty where `node` is none."""

    def alike(pool: Node) -> bool:
        return pool.target is aten.max_pool2d.default and pool.args[1:] == node.args[1:]

    kernel, step, padding = [*node.args[1:], None, None, None][:3]
    if not isinstance(kernel, Sequence) or len(node.args) != 4 or kernel[0] != kernel[1] or not kernel[0] % 2:
        return []
    if list(step) != [1, 1] or list(padding) != [kernel[0] // 2] * 2:
        return []
    chain = [node]
    while len(chain) < 3 and (after := [user for user in chain[-1].users if alike(user)]):
        chain.append(after[0])
    return chain


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionNodes:
    """Attention over a picture: the picture of query, key and value, and the depthwise convolution of the values."""

    qkv: Node
    weight: Any
    bias: Any
    heads: int
    key: int
    scale: float


def attention_of(node: Node) -> AttentionNodes | None:
    """The attention of which `node` is the last addition, as Ultralytics' Attention block traces."""
    try:
        return _attention_of(node)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return None


def _attention_of(node: Node) -> AttentionNodes | None:
    mixed, local = (_expect_node(value) for value in node.args)
    attended = _expect(mixed, aten.view.default).args[0]
    value, weights = _expect(_expect_node(attended), aten.matmul.default).args
    weights = _expect(_expect_node(weights), aten.transpose.int).args[0]
    scores = _expect(_expect_node(weights), aten.softmax.int).args[0]
    turned, key = _expect(_expect_node(scores), aten.matmul.default).args
    scaled = _expect(_expect_node(turned), aten.transpose.int).args[0]
    query, scale = _expect(_expect_node(scaled), aten.mul.Tensor).args
    split = _expect(_expect_node(query), operator.getitem).args[0]
    whole, sizes, dim = _expect(_expect_node(split), aten.split_with_sizes.default).args
    pieces = [_expect(_expect_node(piece), operator.getitem).args for piece in (query, key, value)]
    if dim != 2 or [piece[0] for piece in pieces] != [split] * 3 or [piece[1] for piece in pieces] != [0, 1, 2]:
        return None
    qkv = _expect(_expect_node(whole), aten.view.default).args[0]
    read = convolution_of(_expect(local, aten.conv2d.default))
    image = _expect(read.images, aten.reshape.default).args[0]
    channels = node.meta["val"].shape[1]
    shape = _expect_node(whole).meta["val"].shape
    sound = image is value and read.plain and read.kernel == 3 and read.step == 1 and read.groups == channels
    if not sound or sizes[0] != sizes[1] or not isinstance(scale, float):
        return None
    if any(size not in (16, 32, 64, 128) for size in sizes):
        return None
    return AttentionNodes(
        qkv=_expect_node(qkv),
        weight=read.weight,
        bias=read.bias,
        heads=shape[1],
        key=sizes[0],
        scale=scale,
    )


def rows_of(node: Node) -> RowsStep | None:
    """The two-stage choice of rows of which `node` is the last concatenation, as Ultralytics' heads trace."""
    try:
        return _rows_of(node)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return None


def _rows_of(node: Node) -> RowsStep | None:
    chosen, confidence, label = (_expect_node(value) for value in node.args[0])
    boxes, _, spread = _expect(chosen, aten.gather.default).args
    owner = _expect(_expect_node(_expect(_expect_node(spread), aten.expand.default).args[0]), aten.unsqueeze.default)
    anchors, _, quotient = _expect(_expect_node(owner.args[0]), aten.gather.default).args
    pairs, classes = _expect(_expect_node(quotient), aten.floor_divide.default).args
    second = _expect(_expect_node(_expect(_expect_node(pairs), operator.getitem).args[0]), aten.topk.default)
    flat = _expect(_expect_node(second.args[0]), aten.flatten.using_ints).args[0]
    scores, _, _ = _expect(_expect_node(flat), aten.gather.default).args
    first = _expect(_expect_node(_expect(_expect_node(anchors), operator.getitem).args[0]), aten.topk.default)
    highest = _expect(_expect_node(first.args[0]), operator.getitem).args
    of_scores = _expect(_expect_node(highest[0]), aten.max.dim).args
    remainder = _expect(_expect_node(_expect(_expect_node(label), aten.to.dtype).args[0]), aten.unsqueeze.default)
    wanted = _expect(_expect_node(remainder.args[0]), aten.remainder.Scalar).args
    values = _expect(_expect_node(_expect(confidence, aten.unsqueeze.default).args[0]), operator.getitem).args
    sound = of_scores[0] is scores and highest[1] == 0 and wanted == (pairs, classes) and values == (second, 0)
    scores, boxes = _expect_node(scores), _expect_node(boxes)
    if not sound or scores.meta["val"].dtype != torch.float32 or first.args[1] != second.args[1]:
        return None
    scores, boxes, turned = _before_joining(scores, boxes)
    return RowsStep(node=node, scores=scores, boxes=boxes, turned=turned, limit=int(first.args[1]))


def _before_joining(scores: Node, boxes: Node) -> tuple[Node, Node, bool]:
    """Scores and boxes before they became one tensor, whose parts would be copied; whether anchors come last there."""
    try:
        split, place = _expect(scores, operator.getitem).args
        if place != 1 or _expect(boxes, operator.getitem).args != (split, 0):
            return scores, boxes, False
        whole = _expect(_expect_node(split), aten.split_with_sizes.default).args[0]
        joined = _expect(_expect_node(whole), aten.permute.default)
        parts = _expect(_expect_node(joined.args[0]), aten.cat.default).args
        first, second = (_expect_node(part) for part in parts[0])
    except (IndexError, TypeError, ValueError):
        return scores, boxes, False
    widths = [boxes.meta["val"].shape[2], scores.meta["val"].shape[2]]
    same = [part.meta["val"].shape[1] for part in (first, second)] == widths
    return (second, first, True) if same and joined.args[1] == [0, 2, 1] else (scores, boxes, False)


def _expect(node: Node, target: Any) -> Node:
    if node.target is not target:
        raise ValueError(f"{node.target} is not {target}")
    return node


def _expect_node(value: Any) -> Node:
    if not isinstance(value, Node):
        raise ValueError(f"{value} is no node")
    return value
