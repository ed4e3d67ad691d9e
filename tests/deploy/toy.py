"""Weights of a detector that costs next to nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def toy_weights(path: Path) -> None:
    """An ONNX detector in the tensor contract that sees one box, brighter pictures with more confidence."""
    brightness = helper.make_node("GlobalAveragePool", ["features"], ["mean"])
    nodes = [
        helper.make_node("Conv", ["images", "weights"], ["features"], name="conv"),
        brightness,
        helper.make_node("Reshape", ["mean", "shape"], ["column"]),
        helper.make_node("Mul", ["column", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "row"], ["output0"]),
    ]
    constants = [
        numpy_helper.from_array(np.full((1, 3, 1, 1), 1 / 3, np.float32), "weights"),
        numpy_helper.from_array(np.array([-1, 1, 1], np.int64), "shape"),
        numpy_helper.from_array(np.array([[[0, 0, 0, 0, 0.2, 0]]], np.float32), "scale"),
        numpy_helper.from_array(np.array([[[8, 8, 40, 40, 0.5, 0]]], np.float32), "row"),
    ]
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, 64, 64])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, ["batch", 1, 6])],
        constants,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
