"""The ONNX graphs that engines are built from: the precision of every layer is written into them."""

from __future__ import annotations

from collections.abc import Mapping

import ml_dtypes
import numpy as np
import numpy.typing as npt
from onnx import ModelProto, TensorProto, numpy_helper

from photofinish.errors import ExportError
from photofinish.export.graph.fp16 import fp16_model_from_fp32
from photofinish.export.graph.model import model_with_opset

FP16_SCALES_OPSET = 19
"""The first ONNX opset whose quantisers take FP16 values and scales, and give FP8."""
INT8_MAX = 127
FP8_MAX = 448
"""The largest values of INT8 and of FP8 (E4M3)."""
QUANTISED_SUFFIX = "_quantized"
"""What ONNX Runtime's quantiser appends to the name of a weight."""


def fp16_model_around_int8(quantised: ModelProto) -> ModelProto:
    """A Q/DQ model, FP32 around its INT8 layers, with FP16 in that place. Raises ExportError without any Q/DQ pair.

    Without this step a strongly typed TensorRT network would compute everything between two INT8 layers in FP32.
    """
    pairs = sum(node.op_type == "QuantizeLinear" for node in quantised.graph.node)
    if not pairs:
        raise ExportError(
            "an INT8 engine needs a graph with QuantizeLinear operators, found none; "
            "give calibration pictures with --calibration FOLDER and export again"
        )
    newer = model_with_opset(quantised, "the quantised graph", lowest=FP16_SCALES_OPSET)
    return fp16_model_from_fp32(newer)


def fp8_model_from_int8(quantised: ModelProto, original: ModelProto) -> ModelProto:
    """The Q/DQ model with FP8 (E4M3) in place of INT8: the same layers and calibrated ranges, FP16 around them.

    original: the FP32 model, whose weights are rounded to FP8 once instead of by way of INT8.
    """
    model = fp16_model_around_int8(quantised)
    constants = {item.name: item for item in model.graph.initializer}
    exact = {item.name + QUANTISED_SUFFIX: numpy_helper.to_array(item) for item in original.graph.initializer}
    replaced: dict[str, TensorProto] = {}
    for node in model.graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        value, scale, zero_point = node.input
        if scale not in replaced:
            found = numpy_helper.to_array(constants[scale])
            wider = found.astype(np.float32) * (INT8_MAX / FP8_MAX)
            replaced[scale] = numpy_helper.from_array(wider.astype(found.dtype), scale)
        replaced[zero_point] = _fp8_tensor(np.zeros(tuple(constants[zero_point].dims), np.float32), zero_point)
        if node.op_type == "DequantizeLinear" and value in constants:
            axis = next((item.i for item in node.attribute if item.name == "axis"), 1)
            replaced[value] = _fp8_weights(value, constants, scale, exact, axis)
    kept = [replaced.get(item.name, item) for item in model.graph.initializer]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    del model.graph.value_info[:]
    return model


def _fp8_weights(
    name: str, constants: Mapping[str, TensorProto], scale: str, exact: Mapping[str, npt.NDArray[np.float32]], axis: int
) -> TensorProto:
    """A weight in FP8, from its exact values where they are known, else from its INT8 values. axis: of its scales."""
    if name not in exact:
        return _fp8_tensor(numpy_helper.to_array(constants[name]).astype(np.float32) * (FP8_MAX / INT8_MAX), name)
    weights = exact[name]
    per_channel = numpy_helper.to_array(constants[scale]).astype(np.float32) * (INT8_MAX / FP8_MAX)
    steps = per_channel.reshape([-1 if index == axis else 1 for index in range(weights.ndim)])
    return _fp8_tensor(np.clip(weights / steps, -FP8_MAX, FP8_MAX), name)


def _fp8_tensor(values: npt.NDArray[np.float32], name: str) -> TensorProto:
    return numpy_helper.from_array(values.astype(ml_dtypes.float8_e4m3fn), name)
