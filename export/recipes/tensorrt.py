"""The recipes `engine_fp16`, `engine_int8` and `engine_fp8`: a TensorRT engine per target, as files of one variant."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx

from photofinish.engine_record import EngineRecord
from photofinish.errors import ExportError
from photofinish.export.graph.fp16 import fp16_model_from_fp32
from photofinish.export.graph.session import output_from_onnx
from photofinish.export.recipes.context import BuildContext, RecipeUnavailableError
from photofinish.export.recipes.int8 import QuantisedModel, quantised_from_context
from photofinish.export.tensorrt.engine import EngineRequest, check_precision_on_target, engine_from_onnx
from photofinish.export.tensorrt.graph import fp8_model_from_int8, fp16_model_around_int8
from photofinish.export.tensorrt.library import choose_library
from photofinish.export.tensorrt.network import EngineRefusedError
from photofinish.export.tensorrt.progress import build_bar
from photofinish.export.tensorrt.targets import gpu_at_hand
from photofinish.variant import Variant


def build_engine_fp16(context: BuildContext, variant: Variant, out_path: Path) -> dict[str, Any]:
    """An FP16 engine from the graph of the onnx_fp16 variant."""
    _require_builder(context, variant)
    return _build(context, variant, out_path, fp16_model_from_fp32(context.frames_onnx))


def build_engine_int8(context: BuildContext, variant: Variant, out_path: Path) -> dict[str, Any]:
    """An INT8 engine from the calibrated Q/DQ graph, with FP16 around its INT8 layers."""
    _require_builder(context, variant)
    quantised = quantised_from_context(context)
    return _build_quantised(context, variant, out_path, quantised, fp16_model_around_int8(quantised.model))


def build_engine_fp8(context: BuildContext, variant: Variant, out_path: Path) -> dict[str, Any]:
    """An FP8 engine: the layers and ranges of the INT8 graph in FP8, for GPUs that have its arithmetic."""
    _require_builder(context, variant)
    quantised = quantised_from_context(context)
    graph = fp8_model_from_int8(quantised.model, context.frames_onnx)
    return _build_quantised(context, variant, out_path, quantised, graph)


def engine_path(out_path: Path, target: str, targets: tuple[str, ...]) -> Path:
    """The file of one target: `model.plan` for the first, `model_sm89.plan` beside it for the others."""
    return (
        out_path
        if not targets or target == targets[0]
        else out_path.with_name(f"{out_path.stem}_{target}{out_path.suffix}")
    )


def _build_quantised(
    context: BuildContext, variant: Variant, out_path: Path, quantised: QuantisedModel, graph: onnx.ModelProto
) -> dict[str, Any]:
    card = quantised.to_card()
    context.calibration_cards[variant.name] = card
    return _build(context, variant, out_path, graph, calibration_sha256=str(card["frames_sha256"]))


def _build(
    context: BuildContext, variant: Variant, out_path: Path, graph: onnx.ModelProto, *, calibration_sha256: str = ""
) -> dict[str, Any]:
    """The engines of all targets; the parity figures are those of the graph they are built from."""
    onnx_path = context.work_dir / f"{variant.name}.onnx"
    onnx.save(graph, onnx_path)
    found = output_from_onnx(onnx_path, context.frames_nhwc, optimise=variant.precision != "fp8")
    parity = context.check_output(variant, found)
    request = EngineRequest(
        calibration_sha256=calibration_sha256,
        rebuild=context.rebuild_command(variant),
        on_progress=context.on_progress,
    )
    records = []
    for target in context.targets or (None,):
        path = out_path if target is None else engine_path(out_path, target, context.targets)
        with build_bar(f"{variant.name} {target or ''}".strip()) as on_step:
            records.append(build_one_engine(onnx_path, variant, path, replace(request, target=target, on_step=on_step)))
    for record in records:
        if record.library == "tensorrt_rtx":
            context.on_progress(
                f"{variant.name}: built by tensorrt_rtx, so the embedded server runs it and the container does not"
            )
            break
    context.engine_cards[variant.name] = {
        record.target: _summary(record, engine_path(out_path, record.target, context.targets)) for record in records
    }
    return {**parity, "measured_on": "onnx"}


def build_one_engine(onnx_path: Path, variant: Variant, path: Path, request: EngineRequest) -> EngineRecord:
    """The engine's record. A graph that TensorRT refuses leaves this variant out, not the others."""
    try:
        return engine_from_onnx(onnx_path, variant, path, request)
    except EngineRefusedError as exc:
        raise RecipeUnavailableError(str(exc)) from exc


def _summary(record: EngineRecord, path: Path) -> dict[str, Any]:
    return {
        "file": path.name,
        "library": record.library,
        "library_version": record.library_version,
        "weight_shares": record.weight_shares,
    }


def _require_builder(context: BuildContext, variant: Variant) -> None:
    """Raise RecipeUnavailableError before any work is done when a target cannot be built for here."""
    gpu = gpu_at_hand()
    for target in context.targets or (None,):
        try:
            _, chosen = choose_library(target, gpu)
            check_precision_on_target(variant.precision, chosen)
        except ExportError as exc:
            raise RecipeUnavailableError(str(exc)) from exc
