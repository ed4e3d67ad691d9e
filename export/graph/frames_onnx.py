"""The frames contract around an ONNX graph that speaks the tensor contract, done on the graph itself."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from photofinish.detections import MAX_ROWS, ROW_WIDTH
from photofinish.export.graph.dynamic_batch import BATCH
from photofinish.export.graph.model import copied_model, image_input
from photofinish.variant import tensor_names

FRAMES_INPUT, DETECTIONS_OUTPUT = tensor_names("frames")
_, SCORES_OUTPUT = tensor_names("frames", task="classify")
_PREFIX = "photofinish_"


class _Nodes:
    """Nodes and constants of one piece of graph, with unique names."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def constant(self, name: str, values: object, dtype: type[np.generic]) -> str:
        """A named initializer; returns its name."""
        self.constants.append(numpy_helper.from_array(np.array(values, dtype=dtype), _PREFIX + name))
        return _PREFIX + name

    def add(self, op_type: str, inputs: list[str], output: str, **attributes: object) -> str:
        """One node with one output; returns the output's name."""
        name = output if output in (DETECTIONS_OUTPUT, SCORES_OUTPUT) else _PREFIX + output
        self.nodes.append(helper.make_node(op_type, inputs, [name], name=_PREFIX + "node_" + output, **attributes))
        return name

    def split(self, value: str, sizes: str, outputs: tuple[str, ...]) -> list[str]:
        """The columns (last axis) of a value in parts; returns the parts' names."""
        names = [_PREFIX + name for name in outputs]
        self.nodes.append(helper.make_node("Split", [value, sizes], names, name=_PREFIX + "node_split", axis=2))
        return names


def frames_model_from_tensor_model(
    model: ModelProto,
    *,
    head: str,
    input_wh: tuple[int, int],
    raw_dims: tuple[int, ...],
    sorted_rows: bool,
    width: int = ROW_WIDTH,
) -> ModelProto:
    """A new model in the frames contract: UINT8 [N,H,W,3] in, FP32 rows [N,300,width] (or scores [N,classes]) out.

    model: one float image input [N,3,H,W], its first output in the layout `head`; other outputs are dropped.
    width: 6, and three more for each keypoint, which stand at the end of the raw output. The result is checked by
    onnx.checker.
    """
    framed = copied_model(model)
    graph = framed.graph
    image = image_input(framed)
    raw = graph.output[0].name
    before = _images_from_frames(image.name, image.type.tensor_type.elem_type)
    after = _Nodes()
    raw_fp32 = after.add("Cast", [raw], "raw_fp32", to=TensorProto.FLOAT)
    if head == "scores":
        after.add("Identity", [raw_fp32], SCORES_OUTPUT)
        output = helper.make_tensor_value_info(SCORES_OUTPUT, TensorProto.FLOAT, [BATCH, *raw_dims])
    else:
        _add_rows(after, raw_fp32, head, raw_dims, sorted_rows, width)
        output = helper.make_tensor_value_info(DETECTIONS_OUTPUT, TensorProto.FLOAT, [BATCH, MAX_ROWS, width])
    nodes = [*before.nodes, *graph.node, *after.nodes]
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend([*before.constants, *after.constants])
    del graph.input[:]
    dims = [BATCH, input_wh[1], input_wh[0], 3]
    graph.input.append(helper.make_tensor_value_info(FRAMES_INPUT, TensorProto.UINT8, dims))
    del graph.output[:]
    graph.output.append(output)
    onnx.checker.check_model(framed)
    return framed


def _images_from_frames(image_name: str, image_type: int) -> _Nodes:
    # Cast first: TensorRT refuses a UINT8 Transpose. Division, not multiplication: k/255 is then rounded once.
    nodes = _Nodes()
    nodes.add("Cast", [FRAMES_INPUT], "frames_fp32", to=TensorProto.FLOAT)
    nodes.add("Div", [_PREFIX + "frames_fp32", nodes.constant("scale", 255, np.float32)], "frames_scaled")
    nodes.add("Transpose", [_PREFIX + "frames_scaled"], "images", perm=[0, 3, 1, 2])
    cast = helper.make_node("Cast", [_PREFIX + "images"], [image_name], name=_PREFIX + "node_cast", to=image_type)
    identity = helper.make_node("Identity", [_PREFIX + "images"], [image_name], name=_PREFIX + "node_identity")
    nodes.nodes.append(identity if image_type == TensorProto.FLOAT else cast)
    return nodes


def _add_rows(nodes: _Nodes, raw: str, head: str, raw_dims: tuple[int, ...], sorted_rows: bool, width: int) -> None:
    """Nodes from the raw output to `detections`."""
    if head == "rows":
        count = raw_dims[0]
        rows = raw if sorted_rows else _best_rows(nodes, raw, count, width)
    else:
        count = raw_dims[1] if head == "yolo_raw" else raw_dims[0]
        rows = _rows_from_yolo_raw(nodes, raw, head, count, raw_dims, width - ROW_WIDTH)
    kept = min(count, MAX_ROWS)
    if kept < MAX_ROWS:
        pads = nodes.constant("row_pads", [0, 0, 0, 0, MAX_ROWS - kept, 0], np.int64)
        nodes.add("Pad", [rows, pads], DETECTIONS_OUTPUT)
    else:
        nodes.add("Identity", [rows], DETECTIONS_OUTPUT)


def _top(nodes: _Nodes, values: str, count: int) -> tuple[str, str]:
    """The best of (N, count): values (N, k) in descending order and their indices (N, k), k = min(300, count)."""
    size = nodes.constant("top_k", [min(count, MAX_ROWS)], np.int64)
    best, index = _PREFIX + "best", _PREFIX + "best_index"
    nodes.nodes.append(helper.make_node("TopK", [values, size], [best, index], name=_PREFIX + "node_top", axis=1))
    return best, index


def _best_rows(nodes: _Nodes, rows: str, count: int, width: int) -> str:
    column = nodes.constant("confidence_column", 4, np.int64)
    confidence = nodes.add("Gather", [rows, column], "row_confidence", axis=2)
    _, index = _top(nodes, confidence, count)
    return _gathered_rows(nodes, rows, index, width, "best_rows")


def _gathered_rows(nodes: _Nodes, table: str, index: str, width: int, name: str) -> str:
    """Rows `index` (N, k) of `table` (N, n, width): (N, k, width)."""
    axis = nodes.constant(name + "_axis", [2], np.int64)
    repeats = nodes.constant(name + "_repeats", [1, 1, width], np.int64)
    column = nodes.add("Unsqueeze", [index, axis], name + "_index")
    wide = nodes.add("Tile", [column, repeats], name + "_indices")
    return nodes.add("GatherElements", [table, wide], name, axis=1)


def _rows_from_yolo_raw(nodes: _Nodes, raw: str, head: str, count: int, raw_dims: tuple[int, ...], points: int) -> str:
    """Rows (N, k, 6 + points) best first from cx cy w h, class scores and points, in the layout that `head` names."""
    starts, ends = nodes.constant("box_start", [0], np.int64), nodes.constant("box_end", [4], np.int64)
    class_start = nodes.constant("class_start", [5 if head == "yolo_raw_objectness" else 4], np.int64)
    everything = nodes.constant("to_the_end", [np.iinfo(np.int64).max], np.int64)
    last_axis = nodes.constant("last_axis", [2], np.int64)
    table = raw if head == "yolo_raw_objectness" else nodes.add("Transpose", [raw], "table", perm=[0, 2, 1])
    if points:
        # One split: OpenVINO 2026.4 loses one of three slices of the same table.
        sizes = nodes.constant("column_counts", [4, raw_dims[0] - 4 - points, points], np.int64)
        boxes, scores, all_points = nodes.split(table, sizes, ("boxes", "class_scores", "points"))
    else:
        boxes = nodes.add("Slice", [table, starts, ends, last_axis], "boxes")
        scores = nodes.add("Slice", [table, class_start, everything, last_axis], "class_scores")
    if head == "yolo_raw_objectness":
        objectness = nodes.add("Slice", [table, ends, class_start, last_axis], "objectness")
        scores = nodes.add("Mul", [scores, objectness], "scores_with_objectness")
    # TopK with k = 1 gives value and class at once, and means the same in every opset (ReduceMax changed its inputs).
    one = nodes.constant("one", [1], np.int64)
    best_of_class, best_class = _PREFIX + "best_of_class", _PREFIX + "best_class"
    nodes.nodes.append(
        helper.make_node("TopK", [scores, one], [best_of_class, best_class], name=_PREFIX + "node_class", axis=2)
    )
    flat = nodes.add("Squeeze", [best_of_class, last_axis], "class_confidence")
    confidence, index = _top(nodes, flat, count)
    confidence = nodes.add("Unsqueeze", [confidence, last_axis], "confidence")
    label = _gathered_rows(nodes, best_class, index, 1, "label")
    label = nodes.add("Cast", [label], "label_fp32", to=TensorProto.FLOAT)
    best_boxes = _gathered_rows(nodes, boxes, index, 4, "best_boxes")
    centre_end = nodes.constant("centre_end", [2], np.int64)
    centre = nodes.add("Slice", [best_boxes, starts, centre_end, last_axis], "centre_xy")
    size = nodes.add("Slice", [best_boxes, centre_end, ends, last_axis], "size_wh")
    half = nodes.add("Mul", [size, nodes.constant("half", 0.5, np.float32)], "half_wh")
    top_left = nodes.add("Sub", [centre, half], "top_left_xy")
    bottom_right = nodes.add("Add", [centre, half], "bottom_right_xy")
    parts = [top_left, bottom_right, confidence, label]
    if points:
        parts.append(_gathered_rows(nodes, all_points, index, points, "best_points"))
    return nodes.add("Concat", parts, "rows", axis=2)
