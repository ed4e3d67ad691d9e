"""An ONNX graph as TensorRT reads it, strongly typed, and the precision of each of its layers.

In a strongly typed network the tensor types are binding: what this module reads is what the engine computes in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from photofinish.errors import ExportError
from photofinish.export.tensorrt.library import TensorRTLibrary

WEIGHTED_LAYERS = ("CONVOLUTION", "DECONVOLUTION", "MATRIX_MULTIPLY")
PRECISION_NAMES = {
    "FLOAT": "fp32",
    "HALF": "fp16",
    "BF16": "bf16",
    "INT8": "int8",
    "FP8": "fp8",
}
MIN_WEIGHT_SHARE = {"fp32": 0.99, "fp16": 0.95, "bf16": 0.95, "int8": 0.6, "fp8": 0.6}
"""The least share of the weights that must compute in the asked precision, else the build is refused."""
MAX_FP32_SHARE = 0.1
"""The most of the layers with weights that may give FP32 in any lower precision: INT8 has FP16 around it."""
_NO_ARITHMETIC = ("CONSTANT", "CAST", "QUANTIZE", "DEQUANTIZE", "SHAPE", "SHUFFLE", "IDENTITY")
"""Layers that hold, convert or rearrange values."""
_NAMED_IN_A_MESSAGE = 5


class EngineRefusedError(ExportError):
    """TensorRT cannot make this graph into an engine, not one in the asked precision, or none that loads here.

    Other variants may do.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerPrecision:
    """One layer with weights: the precision it computes in, that of its result, and how many weights it has."""

    name: str
    kind: str
    precision: str
    result_precision: str
    weight_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkPrecision:
    """The layers with weights, in graph order, and what all layers give.

    layer_outputs: how many layers of any kind but constants and conversions give each precision, most first.
    """

    layers: tuple[LayerPrecision, ...]
    layer_outputs: dict[str, int]

    @property
    def weight_shares(self) -> dict[str, float]:
        """Share of the weights per precision, largest first; the shares sum to 1."""
        counts: Counter[str] = Counter()
        for layer in self.layers:
            counts[layer.precision] += layer.weight_count
        total = sum(counts.values())
        return {name: count / total for name, count in counts.most_common() if total}

    def __str__(self) -> str:
        """E.g. `fp16 100 % of the weights (102 of 102 layers); of all layers 300 give fp16, 41 fp32`."""
        counts = Counter(layer.precision for layer in self.layers)
        weights = ", ".join(
            f"{name} {100 * share:.3g} % of the weights ({counts[name]} of {len(self.layers)} layers)"
            for name, share in self.weight_shares.items()
        )
        outputs = ", ".join(f"{count} give {name}" for name, count in self.layer_outputs.items())
        return f"{weights}; of all layers {outputs}" if outputs else weights


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedNetwork:
    """A parsed network with what must stay alive while it is used: TensorRT's objects refer to each other."""

    library: TensorRTLibrary
    builder: Any
    network: Any
    parser: Any

    @property
    def precision(self) -> NetworkPrecision:
        """The precision of each layer with weights."""
        return read_precision(self.library, self.network)


def network_from_onnx(library: TensorRTLibrary, onnx_path: Path, logger: Any) -> ParsedNetwork:
    """The graph as a strongly typed TensorRT network.

    Raises EngineRefusedError naming the operator and node that TensorRT does not take, or when the library has no
    builder here; ExportError when the file is missing.
    """
    trt = library.module
    if not onnx_path.is_file():
        raise ExportError(f"{onnx_path} does not exist; run `photofinish export` for its ONNX variant first")
    try:
        builder = trt.Builder(logger)
    except TypeError as exc:  # pybind11's way to say that the constructor returned nothing
        raise EngineRefusedError(
            f"{library.name} {library.version} cannot start its builder: {_said(logger) or exc}; "
            "check the NVIDIA driver with `photofinish doctor`, or build with --target through tensorrt_rtx"
        ) from exc
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(onnx_path)):
        errors = [parser.get_error(index) for index in range(parser.num_errors)]
        raise EngineRefusedError(f"{library.name} {library.version} cannot read {onnx_path}: {_parser_text(errors)}")
    return ParsedNetwork(library=library, builder=builder, network=network, parser=parser)


def read_precision(library: TensorRTLibrary, network: Any) -> NetworkPrecision:
    """The precision of each layer with weights, from the tensor types of the strongly typed network."""
    trt = library.module
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    producers = {layer.get_output(index).name: layer for layer in layers for index in range(layer.num_outputs)}
    found = []
    for layer in layers:
        if layer.type.name not in WEIGHTED_LAYERS:
            continue
        count = _weight_count(trt, layer, producers)
        if count:
            found.append(
                LayerPrecision(
                    name=layer.name,
                    kind=layer.type.name,
                    precision=_compute_precision(layer.get_input(0), producers),
                    result_precision=_precision_name(layer.get_output(0)),
                    weight_count=count,
                )
            )
    outputs = Counter(_precision_name(layer.get_output(0)) for layer in layers if layer.type.name not in _NO_ARITHMETIC)
    kept = {name: count for name, count in outputs.most_common() if name in PRECISION_NAMES.values()}
    return NetworkPrecision(layers=tuple(found), layer_outputs=kept)


def check_precision(precision: NetworkPrecision, wanted: str, onnx_path: Path) -> None:
    """Raise EngineRefusedError, naming the layers that stayed behind, unless enough weights compute in `wanted`."""
    if not precision.layers:
        raise EngineRefusedError(f"{onnx_path} has no layer with weights; pass the ONNX file of a trained network")
    shares = precision.weight_shares
    behind = [layer for layer in precision.layers if layer.precision != wanted]
    least = MIN_WEIGHT_SHARE[wanted]
    if shares.get(wanted, 0.0) < least:
        raise EngineRefusedError(
            f"{onnx_path} is asked for as {wanted} and computes in {precision}; at least {100 * least:.0f} % of the "
            f"weights must be {wanted}. Stayed behind: {_names(behind)}. {_REMEDY[wanted]}"
        )
    in_fp32 = [layer for layer in precision.layers if layer.result_precision == "fp32"]
    share = len(in_fp32) / len(precision.layers)
    if wanted != "fp32" and share > MAX_FP32_SHARE:
        raise EngineRefusedError(
            f"{onnx_path} is asked for as {wanted} and {100 * share:.3g} % of its layers give fp32, at most "
            f"{100 * MAX_FP32_SHARE:.0f} % may: around {wanted} there must be fp16. "
            f"Stayed behind: {_names(in_fp32)}. {_REMEDY[wanted]}"
        )


_REMEDY = {
    "fp32": "Export the FP32 graph.",
    "fp16": "The precision is part of the graph: take the FP16 graph that `photofinish export` makes.",
    "bf16": "The precision is part of the graph: export a BF16 graph.",
    "int8": "The precision is part of the graph: run `photofinish calibrate`, then export the quantised graph.",
    "fp8": "The precision is part of the graph: export a graph with FP8 quantisers.",
}


def _compute_precision(tensor: Any, producers: dict[str, Any]) -> str:
    """What a layer computes in, from its first input: the type before a dequantiser when there is one."""
    producer = producers.get(tensor.name)
    if producer is not None and producer.type.name == "DEQUANTIZE":
        tensor = producer.get_input(0)
    return _precision_name(tensor)


def _precision_name(tensor: Any) -> str:
    name = str(tensor.dtype.name)
    return PRECISION_NAMES.get(name, name.lower())


def _weight_count(trt: Any, layer: Any, producers: dict[str, Any]) -> int:
    """How many learned weights a layer multiplies by; 0 when its operands are all computed."""
    kernel = layer.get_input(1) if layer.num_inputs > 1 else None
    if kernel is not None:
        return _volume(kernel.shape) if _is_constant(kernel, producers) else 0
    if layer.type.name == "MATRIX_MULTIPLY":
        return 0
    # Layers come as their base class; this is the documented way to the kernel.
    layer.__class__ = trt.IConvolutionLayer if layer.type.name == "CONVOLUTION" else trt.IDeconvolutionLayer
    return int(layer.kernel.size)


def _is_constant(tensor: Any, producers: dict[str, Any]) -> bool:
    """Whether a tensor is a constant, perhaps quantised, cast or reshaped on its way."""
    producer = producers.get(tensor.name)
    while producer is not None and producer.type.name in ("DEQUANTIZE", "QUANTIZE", "CAST", "SHUFFLE", "IDENTITY"):
        producer = producers.get(producer.get_input(0).name)
    return producer is not None and producer.type.name == "CONSTANT"


def _volume(shape: Iterable[int]) -> int:
    product = 1
    for side in shape:
        product *= int(side)
    return product


def _names(layers: list[LayerPrecision]) -> str:
    largest = sorted(layers, key=lambda layer: -layer.weight_count)[:_NAMED_IN_A_MESSAGE]
    more = f" and {len(layers) - len(largest)} more" if len(layers) > len(largest) else ""
    return ", ".join(f"{layer.name} ({layer.precision})" for layer in largest) + more


def _parser_text(errors: list[Any]) -> str:
    if not errors:
        return "the file is not a readable ONNX graph"
    said = []
    for error in errors[:_NAMED_IN_A_MESSAGE]:
        where = f"operator {error.node_operator()} at node {error.node_name()!r}: " if error.node_operator() else ""
        said.append(f"{where}{' '.join(error.desc().split())}")
    return "; ".join(said)


def _said(logger: Any) -> str:
    return str(getattr(logger, "last_error", ""))
