"""Recipes: how each artifact is made. The dict at the end is the one list of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch

from photofinish.detections import MAX_ROWS, ROW_WIDTH
from photofinish.errors import ExportError
from photofinish.export.graph.fp16 import fp16_model_from_fp32
from photofinish.export.graph.frames_torch import frames_network_from_source
from photofinish.export.graph.session import output_from_onnx
from photofinish.export.recipes.aoti import build_aoti_fp16
from photofinish.export.recipes.context import BuildContext, RecipeUnavailableError, output_from_network
from photofinish.export.recipes.int8 import build_onnx_int8, build_onnx_int8_unsigned
from photofinish.export.recipes.tensorrt import build_engine_fp8, build_engine_fp16, build_engine_int8
from photofinish.export.tensorrt.library import provider_problem
from photofinish.machine.processor import BF16_FLAGS, processor_flags
from photofinish.variant import Variant

Builder = Callable[[BuildContext, Variant, Path], dict[str, Any]]
"""`build(context, variant, out_path) -> parity`: write the artifact to `out_path`, return the parity figures.

`out_path` is in an empty folder that becomes `<variant>/1/`; files written beside it are published with it. Raise
ExportError when the artifact cannot be built here or its output is too far from the source's.
"""


def build_torchscript_tensor(context: BuildContext, variant: Variant, out_path: Path) -> dict[str, Any]:
    """The baseline: the network as it is, traced; FP32 images in, the exporter's raw head out."""
    width, height = context.source.input_wh
    example = torch.zeros(1, 3, height, width)
    trace_network(context.source.expect_network(), example, out_path, variant)
    return context.check_output(variant, _output_from_torchscript(out_path, context.images_nchw))


def build_torchscript_frames(context: BuildContext, variant: Variant, out_path: Path) -> dict[str, Any]:
    """The network traced together with the frames contract."""
    width, height = context.source.input_wh
    example = torch.zeros(1, height, width, 3, dtype=torch.uint8)
    trace_network(frames_network_from_source(context.source), example, out_path, variant)
    return context.check_output(variant, _output_from_torchscript(out_path, context.frames_nhwc))


def build_onnx_tensor(context: BuildContext, variant: Variant, out_path: Path) -> dict[str, Any]:
    """FP32 images in, raw head out, as an ONNX file: the baseline of weights that come as ONNX."""
    return _save_onnx(context, variant, context.tensor_onnx, out_path, context.images_nchw)


def build_onnx_fp32(context: BuildContext, variant: Variant, out_path: Path) -> dict[str, Any]:
    """ONNX in the frames contract, FP32."""
    return _save_onnx(context, variant, context.frames_onnx, out_path, context.frames_nhwc)


def build_onnx_for_bf16(context: BuildContext, variant: Variant, out_path: Path) -> dict[str, Any]:
    """The FP32 graph for a server that computes it in bf16, where this machine's processor can."""
    if not BF16_FLAGS & processor_flags():
        raise RecipeUnavailableError(f"this processor has none of {', '.join(sorted(BF16_FLAGS))}; bf16 would be FP32")
    return build_onnx_fp32(context, variant, out_path)


def build_onnx_fp16(context: BuildContext, variant: Variant, out_path: Path) -> dict[str, Any]:
    """ONNX in the frames contract: the layers in FP16, decoding and top-k in FP32."""
    return _save_onnx(context, variant, fp16_model_from_fp32(context.frames_onnx), out_path, context.frames_nhwc)


def build_onnx_fp16_for_tensorrt(context: BuildContext, variant: Variant, out_path: Path) -> dict[str, Any]:
    """The graph of onnx_fp16 for ONNX Runtime's TensorRT provider, where this machine has it."""
    if problem := provider_problem():
        raise RecipeUnavailableError(str(problem))
    return build_onnx_fp16(context, variant, out_path)


def trace_network(network: torch.nn.Module, example: torch.Tensor, out_path: Path, variant: Variant) -> None:
    """Write the network's TorchScript, free of any device. ExportError when its trace cannot be."""
    with torch.no_grad(), warnings.catch_warnings():
        # Tracing fixes height and width on purpose: anchors become constants, and CUDA graphs need fixed shapes.
        warnings.simplefilter("ignore")
        network(example)
        traced = torch.jit.trace(network, example, strict=False, check_trace=False)
    if devices := sorted(_fixed_devices(traced)):
        raise ExportError(
            f"{variant.name}: the traced network makes tensors on a fixed device ({', '.join(devices)}), so it would "
            "fail on another; this head is not supported as TorchScript"
        )
    traced.save(str(out_path))


def _fixed_devices(traced: torch.jit.ScriptModule) -> set[str]:
    """Names of operators in the trace that create tensors on a device written into the graph."""
    found = set()
    for node in traced.inlined_graph.nodes():
        for value in node.inputs():
            constant = value.node()
            if value.type().kind() == "DeviceObjType" and constant.kind() == "prim::Constant":
                found.add(node.kind())
    return found


def _output_from_torchscript(path: Path, batch: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """The saved artifact's output, batch of all pictures at once so that the dynamic batch is proved too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        module = torch.jit.load(str(path), map_location="cpu").eval()
    with torch.no_grad():
        together = module(torch.from_numpy(batch)).numpy().astype(np.float32)
    alone = output_from_network(module, batch)
    _expect_same_in_batch(path.parent.parent.name, together, alone)
    return alone


def _save_onnx(
    context: BuildContext, variant: Variant, model: onnx.ModelProto, out_path: Path, batch: npt.NDArray[Any]
) -> dict[str, Any]:
    onnx.save(model, out_path)
    alone = output_from_onnx(out_path, batch)
    _expect_same_in_batch(variant.name, output_from_onnx(out_path, batch, at_once=True), alone)
    return context.check_output(variant, alone)


def _expect_same_in_batch(
    what: str, together: npt.NDArray[np.float32], alone: npt.NDArray[np.float32], *, tolerance: float = 0.05
) -> None:
    """ExportError unless a batch gives what its pictures give one by one: of detection rows, the same confidences."""
    if together.shape != alone.shape:
        raise ExportError(f"{what}: a batch gives shape {together.shape}, its pictures one by one {alone.shape}")
    if alone.ndim == 3 and alone.shape[1] == MAX_ROWS and alone.shape[2] >= ROW_WIDTH:
        # Boxes of nearly equal confidence may swap their rows.
        together, alone = together[..., 4], alone[..., 4]
    if not np.allclose(together, alone, rtol=tolerance, atol=tolerance):
        raise ExportError(f"{what}: pictures in a batch get other results than one by one; its batch is not dynamic")


RECIPES: Mapping[str, Builder] = {
    "torchscript_tensor": build_torchscript_tensor,
    "torchscript_frames": build_torchscript_frames,
    "onnx_tensor": build_onnx_tensor,
    "onnx_fp32": build_onnx_fp32,
    "onnx_fp16": build_onnx_fp16,
    "onnx_for_bf16": build_onnx_for_bf16,
    "onnx_fp16_for_tensorrt": build_onnx_fp16_for_tensorrt,
    "aoti_fp16": build_aoti_fp16,
    "onnx_int8": build_onnx_int8,
    "onnx_int8_unsigned": build_onnx_int8_unsigned,
    "engine_fp16": build_engine_fp16,
    "engine_int8": build_engine_int8,
    "engine_fp8": build_engine_fp8,
}
"""Recipe name, as in variants.toml, to its builder."""
