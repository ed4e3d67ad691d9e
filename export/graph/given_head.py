"""ONNX graphs of heads with their own normalisation, wrapped so that they take and give what the recipes expect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, helper, numpy_helper

from photofinish.export.graph.dynamic_batch import BATCH
from photofinish.export.graph.model import copied_model

YOLOX_STRIDES = ((8, 16, 32), (8, 16, 32, 64))
"""Of the usual models, and of those with a fourth scale."""
DECODED_SHARE = 0.02
"""Median centre of decoded boxes, as a share of the picture's width, lies above; offsets in a cell are about 0.5 px."""
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""By channel, of RGB in 0..1: what torchvision's and Hugging Face's DETR subtract and divide by."""
_PREFIX = "given_head_"


class _Wrapping:
    """A copy of a model whose input and output have stepped aside, with nodes to put before and behind it."""

    def __init__(self, model: ModelProto, *, before: bool = False, behind: bool = False) -> None:
        self.model = copied_model(model)
        graph = self.model.graph
        self.image, self.output = graph.input[0].name, graph.output[0].name
        aside = ({self.image: _PREFIX + "images"} if before else {}) | ({self.output: self.raw} if behind else {})
        for node in graph.node:
            for values in (node.input, node.output):
                for index, name in enumerate(values):
                    values[index] = aside.get(name, name)
        del graph.value_info[:]
        self._before: list[onnx.NodeProto] = []

    @property
    def raw(self) -> str:
        """What the model itself returns."""
        return _PREFIX + "raw"

    def constant(self, name: str, value: npt.ArrayLike, dtype: type[np.generic] = np.float32) -> str:
        self.model.graph.initializer.append(numpy_helper.from_array(np.asarray(value, dtype), _PREFIX + name))
        return _PREFIX + name

    def put_before(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self._before.append(self._node(operator, inputs, [output], attributes))
        return output

    def put_behind(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        name = output if output == self.output else _PREFIX + output
        self.model.graph.node.append(self._node(operator, inputs, [name], attributes))
        return name

    def columns(self, begin: int, end: int, name: str) -> str:
        """Columns begin … end - 1 of the raw output (N, rows, columns)."""
        limits = [self.constant(f"{name}_{what}", [at], np.int64) for what, at in (("begin", begin), ("end", end))]
        axis = self.constant(f"{name}_axis", [2], np.int64)
        return self.put_behind("Slice", [self.raw, *limits, axis], name)

    def finished(self, dims: Sequence[int]) -> ModelProto:
        """The wrapped model. dims: of its output, without the batch."""
        graph = self.model.graph
        nodes = [*self._before, *graph.node]
        del graph.node[:]
        graph.node.extend(nodes)
        output = helper.make_tensor_value_info(self.output, onnx.TensorProto.FLOAT, [BATCH, *dims])
        graph.output[0].CopyFrom(output)
        onnx.checker.check_model(self.model)
        return self.model

    def _node(
        self, operator: str, inputs: Sequence[str], outputs: Sequence[str], attributes: dict[str, Any]
    ) -> onnx.NodeProto:
        return helper.make_node(operator, list(inputs), list(outputs), name=f"{outputs[0]}_node", **attributes)


def model_in_255(model: ModelProto, dims: Sequence[int], *, swapped: bool) -> ModelProto:
    """A model of pictures in 0..255, taking RGB in 0..1. swapped: of BGR, as YOLOX. dims: of its output."""
    wrapping = _Wrapping(model, before=True)
    image = wrapping.image
    if swapped:
        order = wrapping.constant("bgr", [2, 1, 0], np.int64)
        image = wrapping.put_before("Gather", [image, order], _PREFIX + "bgr_images", axis=1)
    wrapping.put_before("Mul", [image, wrapping.constant("white", 255)], _PREFIX + "images")
    return wrapping.finished(dims)


def model_normalised(model: ModelProto, dims: Sequence[int]) -> ModelProto:
    """A model of pictures normalised as ImageNet's, taking RGB in 0..1. dims: of its output."""
    wrapping = _Wrapping(model, before=True)
    mean, deviation = (
        wrapping.constant(name, np.reshape(values, (1, 3, 1, 1)))
        for name, values in (("mean", IMAGENET_MEAN), ("deviation", IMAGENET_DEVIATION))
    )
    centred = wrapping.put_before("Sub", [wrapping.image, mean], _PREFIX + "centred")
    wrapping.put_before("Div", [centred, deviation], _PREFIX + "images")
    return wrapping.finished(dims)


def model_with_decoded_cells(model: ModelProto, dims: Sequence[int], input_wh: tuple[int, int]) -> ModelProto:
    """YOLOX's rows (anchors, 5 + classes), offsets in cells and logarithms of sizes, as pixels."""
    cells = cells_from_anchors(dims[0], input_wh)
    if cells is None:
        raise ValueError(f"{dims[0]} anchors are no YOLOX's at {input_wh}")
    wrapping = _Wrapping(model, behind=True)
    stride = wrapping.constant("stride", cells[None, :, 2:])
    shifted = wrapping.put_behind(
        "Add", [wrapping.columns(0, 2, "offset"), wrapping.constant("cell", cells[None, :, :2])], "shifted"
    )
    centre = wrapping.put_behind("Mul", [shifted, stride], "centre")
    size = wrapping.put_behind("Exp", [wrapping.columns(2, 4, "log_size")], "cell_size")
    size = wrapping.put_behind("Mul", [size, stride], "size")
    wrapping.put_behind("Concat", [centre, size, wrapping.columns(4, dims[1], "scores")], wrapping.output, axis=2)
    return wrapping.finished(dims)


def cells_from_anchors(anchors: int, input_wh: tuple[int, int]) -> npt.NDArray[np.float32] | None:
    """Column, row and stride of each of YOLOX's cells (anchors, 3), finest first; None where the count is another."""
    width, height = input_wh
    for strides in YOLOX_STRIDES:
        if sum((width // stride) * (height // stride) for stride in strides) == anchors:
            grids = []
            for stride in strides:
                rows, columns = np.mgrid[: height // stride, : width // stride]
                grids.append(np.stack([columns, rows, np.full_like(rows, stride)], axis=-1).reshape(-1, 3))
            return np.concatenate(grids).astype(np.float32)
    return None


def is_decoded(raw: npt.NDArray[np.float32], input_wh: tuple[int, int]) -> bool:
    """Whether YOLOX's output (pictures, anchors, 5 + classes) is in pixels already (`--decode_in_inference`)."""
    return bool(np.median(raw[..., 0]) > DECODED_SHARE * input_wh[0] and raw[..., 2:4].min() >= 0)


def model_with_rows_from_queries(model: ModelProto, dims: Sequence[int], input_wh: tuple[int, int]) -> ModelProto:
    """RT-DETR's queries (n, 4 + classes), centre and size as shares of the picture, as rows (n, 6) in pixels."""
    wrapping = _Wrapping(model, behind=True)
    half = wrapping.put_behind("Mul", [wrapping.columns(2, 4, "size"), wrapping.constant("half", 0.5)], "half_size")
    centre = wrapping.columns(0, 2, "centre")
    corners = [wrapping.put_behind(word, [centre, half], word.lower()) for word in ("Sub", "Add")]
    shares = wrapping.put_behind("Concat", corners, "shares", axis=2)
    boxes = wrapping.put_behind("Mul", [shares, wrapping.constant("picture", [*input_wh, *input_wh])], "boxes")
    one, best, label = wrapping.constant("one", [1], np.int64), _PREFIX + "best", _PREFIX + "label"
    scores = wrapping.columns(4, dims[1], "scores")
    # TopK with k = 1 gives value and class at once, and means the same in every opset.
    top = helper.make_node("TopK", [scores, one], [best, label], name=f"{best}_node", axis=2)
    wrapping.model.graph.node.append(top)
    label = wrapping.put_behind("Cast", [label], "label_fp32", to=onnx.TensorProto.FLOAT)
    wrapping.put_behind("Concat", [boxes, best, label], wrapping.output, axis=2)
    return wrapping.finished((dims[0], 6))


def model_with_rows_in_pixels(model: ModelProto, dims: Sequence[int], input_wh: tuple[int, int]) -> ModelProto:
    """Rows (n, 6) whose corners are shares of the picture, in pixels."""
    wrapping = _Wrapping(model, behind=True)
    scale = wrapping.constant("picture", [*input_wh, *input_wh, 1, 1])
    wrapping.put_behind("Mul", [wrapping.raw, scale], wrapping.output)
    return wrapping.finished(dims)
