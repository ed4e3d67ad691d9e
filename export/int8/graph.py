"""Q/DQ graphs by ONNX Runtime's quantiser: all layers at once, then single layers restored on the graph."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from photofinish.errors import ExportError
from photofinish.export.graph.model import copied_model

QUANTISED_OPERATORS = ("Conv", "Gemm")
"""Operators with weights. Only their inputs are quantised: TensorRT fuses the activation behind them itself."""
_OPTIONS = {
    # TensorRT refuses biases as dequantised INT32.
    "WeightSymmetric": True,
    "QuantizeBias": False,
    "OpTypesToExcludeOutputQuantization": list(QUANTISED_OPERATORS),
}


def quantised_from_limits(
    model: onnx.ModelProto, limits: Mapping[str, float], lows: Mapping[str, float] | None = None
) -> onnx.ModelProto:
    """The model with every weighted layer between Q/DQ pairs, weights INT8 symmetric per output channel.

    limits: for each tensor of `layer_inputs` the largest absolute value that INT8 shall hold. Without lows activations
    are INT8 symmetric. lows: their smallest values; activations are then UINT8 with a zero point and weights keep to
    7 bits, so that two products always fit the 16 bits in which processors without VNNI add them.
    """
    is_signed = lows is None
    ranges = {
        name: (np.array(-limit if lows is None else lows[name], np.float32), np.array(limit, np.float32))
        for name, limit in limits.items()
    }
    copy = copied_model(model)
    quantizer = QDQQuantizer(
        copy,
        per_channel=True,
        reduce_range=not is_signed,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QInt8 if is_signed else QuantType.QUInt8,
        tensors_range=TensorsData(CalibrationMethod.MinMax, ranges),
        nodes_to_quantize=list(layers_from_model(model)),
        nodes_to_exclude=[],
        op_types_to_quantize=list(QUANTISED_OPERATORS),
        extra_options={**_OPTIONS, "ActivationSymmetric": is_signed},
    )
    with _quiet():
        quantizer.quantize_model()
        quantizer.model.topological_sort()
    quantised: onnx.ModelProto = quantizer.model.model
    return quantised


def with_limits(
    quantised: onnx.ModelProto, before: Mapping[str, float], limits: Mapping[str, float]
) -> onnx.ModelProto:
    """A copy of a model quantised, signed, with the limits `before` that holds `limits`: only its scales differ."""
    copy = copied_model(quantised)
    scales = {item.name: item for item in copy.graph.initializer}
    for tensor, limit in limits.items():
        if before[tensor] and limit:
            scale = scales[f"{tensor}_scale"]
            values = numpy_helper.to_array(scale) * np.float64(limit / before[tensor])
            scale.CopyFrom(numpy_helper.from_array(values.astype(np.float32), scale.name))
    return copy


def layers_from_model(model: onnx.ModelProto) -> tuple[str, ...]:
    """Names of the layers that can be quantised, in graph order. ExportError when there are none."""
    constants = {item.name for item in model.graph.initializer}
    layers = tuple(
        node.name for node in model.graph.node if node.op_type in QUANTISED_OPERATORS and node.input[1] in constants
    )
    if not layers or len(set(layers)) != len(layers):
        raise ExportError(
            f"INT8: the graph has {len(layers)} {' or '.join(QUANTISED_OPERATORS)} layers with constant weights, "
            f"{len(set(layers))} of them named apart; at least one is needed, and each needs a name of its own"
        )
    return layers


def layer_inputs(model: onnx.ModelProto) -> tuple[str, ...]:
    """Names of the tensors that the layers take, each once, in graph order."""
    layers = set(layers_from_model(model))
    return tuple(dict.fromkeys(node.input[0] for node in model.graph.node if node.name in layers))


def partly_quantised(quantised: onnx.ModelProto, model: onnx.ModelProto, layers: Collection[str]) -> onnx.ModelProto:
    """The quantised model with only `layers` still quantised; the others compute as in the FP32 `model`."""
    copy = copied_model(quantised)
    original = {node.name: node for node in model.graph.node}
    for node in copy.graph.node:
        if node.op_type in QUANTISED_OPERATORS and node.name not in layers:
            node.input[:] = original[node.name].input
    _drop_unused(copy, model)
    return copy


def _drop_unused(copy: onnx.ModelProto, model: onnx.ModelProto) -> None:
    """Remove Q/DQ nodes nobody reads any more, and have exactly the initializers that are read."""
    while True:
        read = _tensors_read(copy)
        kept = [
            node
            for node in copy.graph.node
            if node.op_type not in ("QuantizeLinear", "DequantizeLinear") or read & set(node.output)
        ]
        if len(kept) == len(copy.graph.node):
            break
        del copy.graph.node[:]
        copy.graph.node.extend(kept)
    known = {item.name: item for item in (*model.graph.initializer, *copy.graph.initializer)}
    used = [known[name] for name in sorted(read & set(known))]
    del copy.graph.initializer[:]
    copy.graph.initializer.extend(used)


def _tensors_read(model: onnx.ModelProto) -> set[str]:
    return {name for node in model.graph.node for name in node.input} | {item.name for item in model.graph.output}


def weights_share(model: onnx.ModelProto, layers: Sequence[str]) -> float:
    """Share of the layers' weights that `layers` hold, by element count; `model` is the FP32 graph."""
    sizes = {item.name: int(np.prod(item.dims)) for item in model.graph.initializer}
    by_layer = {name: 0 for name in layers_from_model(model)}
    for node in model.graph.node:
        if node.name in by_layer:
            by_layer[node.name] = sizes[node.input[1]]
    return sum(by_layer[name] for name in layers) / max(sum(by_layer.values()), 1)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """ONNX Runtime's quantiser prints to stdout and logs hints on the root logger; stdout is for data here."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        root.setLevel(level)
