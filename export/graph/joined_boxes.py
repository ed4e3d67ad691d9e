"""Detectors that give boxes and scores as outputs of their own, as one output that the recipes decode."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, numpy_helper

from photofinish.export.graph.given_head import model_in_255, model_normalised
from photofinish.export.graph.joining import Joining
from photofinish.export.graph.model import copied_model


def joined_corners(
    model: ModelProto, boxes: str, scores: str, *, anchors: int, classes: int, in_255: bool
) -> ModelProto:
    """A raw YOLO head [4 + classes, anchors] from corners (N, anchors, 4) in pixels and scores (N, anchors, classes).

    in_255: the model takes pictures in 0..255, as DAMO-YOLO does; YOLO-NAS takes 0..1.
    """
    joining = Joining(model)
    first, second = joining.columns(boxes, 0, 2, "top_left"), joining.columns(boxes, 2, 4, "bottom_right")
    centre = joining.add("Mul", [joining.add("Add", [first, second], "sum"), joining.constant("half", 0.5)], "centre")
    size = joining.add("Sub", [second, first], "size")
    table = joining.add("Concat", [centre, size, scores], "table", axis=2)
    dims = (4 + classes, anchors)
    joined = joining.finished(table, dims, turned=True)
    return model_in_255(joined, dims, swapped=False) if in_255 else joined


def joined_queries(
    model: ModelProto, boxes: str, logits: str, *, queries: int, classes: int, with_none: bool = False
) -> ModelProto:
    """RT-DETR's queries [n, 4 + classes] from boxes (centre and size, shares of the picture) and logits.

    with_none: of DETR, whose logits have one column more, the last, which says that there is nothing. Its scores are a
    softmax over all of them, and its pictures are normalised.
    """
    joining = Joining(model)
    scores = joining.add("Softmax", [logits], "shares", axis=2) if with_none else joining.add("Sigmoid", [logits], "p")
    if with_none:
        scores = joining.columns(scores, 0, classes, "scores")
    dims = (queries, 4 + classes)
    joined = joining.finished(joining.add("Concat", [boxes, scores], "queries", axis=2), dims)
    return model_normalised(joined, dims) if with_none else joined


def joined_rows(model: ModelProto, labels: str, boxes: str, scores: str, *, count: int) -> ModelProto:
    """Rows [n, 6] from corners (N, n, 4) in pixels, scores (N, n) and labels (N, n)."""
    joining = Joining(model)
    axis = joining.constant("axis", [2], np.int64)
    columns = [
        joining.add("Unsqueeze", [joining.add("Cast", [name], f"{word}_fp32", to=onnx.TensorProto.FLOAT), axis], word)
        for word, name in (("confidence", scores), ("label", labels))
    ]
    return joining.finished(joining.add("Concat", [boxes, *columns], "rows", axis=2), (count, 6))


def with_constant_input(model: ModelProto, name: str, value: npt.NDArray[np.generic]) -> ModelProto:
    """A copy in which one of the inputs is a constant."""
    fixed = copied_model(model)
    kept = [item for item in fixed.graph.input if item.name != name]
    del fixed.graph.input[:]
    fixed.graph.input.extend(kept)
    fixed.graph.initializer.append(numpy_helper.from_array(value, name))
    return fixed
