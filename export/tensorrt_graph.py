"""The ONNX graphs that engines are built from: the precision of every layer is written into them."""

from __future__ import annotations

from onnx import ModelProto, version_converter

from export.precision import fp16_model_from_fp32
from photofinish.errors import ExportError

FP16_SCALES_OPSET = 19
"""The first ONNX opset whose quantisers take FP16 values and scales."""


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
    opset = next(item.version for item in quantised.opset_import if item.domain in ("", "ai.onnx"))
    newer = quantised if opset >= FP16_SCALES_OPSET else _converted(quantised, opset)
    return fp16_model_from_fp32(newer)


def _converted(model: ModelProto, opset: int) -> ModelProto:
    try:
        return version_converter.convert_version(model, FP16_SCALES_OPSET)
    except (RuntimeError, version_converter.ConvertError) as exc:
        raise ExportError(
            f"the graph cannot be taken from ONNX opset {opset} to {FP16_SCALES_OPSET}, which FP16 around INT8 needs: "
            f"{exc}; export the weights again with opset {FP16_SCALES_OPSET}"
        ) from exc
