"""What an FP16 graph is like: its nodes by precision, the engines TensorRT makes of it, and what it still finds.

Backs: docs/tensorrt.md, "AutoCast also takes box decoding to FP16"
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto

from photofinish.detections import detections_in_letterbox
from photofinish.errors import ExportError
from photofinish.export.graph.fp16 import WEIGHTED_OPS
from photofinish.export.tensorrt.engine import EngineRequest, engine_from_onnx
from photofinish.perf.accuracy.figures import figures_from_baseline
from photofinish.variant import Variant

Array = npt.NDArray[np.float32]
_TYPE_NAMES = {TensorProto.FLOAT: "fp32", TensorProto.FLOAT16: "fp16"}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCounts:
    """Nodes by the precision of their first output; layers: those that multiply by weights. casts are in neither."""

    nodes: int
    casts: int
    fp16: int
    fp32: int
    layers_fp16: int
    layers_fp32: int


def node_counts(model: onnx.ModelProto) -> NodeCounts:
    """How many nodes of a graph compute in FP16 and in FP32. Nodes of other types count as neither."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    types = {item.name: item.type.tensor_type.elem_type for item in (*graph.value_info, *graph.output)}
    counts: Counter[str] = Counter()
    layers: Counter[str] = Counter()
    for node in graph.node:
        if node.op_type in ("Cast", "Constant"):
            counts[node.op_type] += 1
            continue
        name = _TYPE_NAMES.get(types.get(node.output[0], 0), "other")
        counts[name] += 1
        layers[name] += node.op_type in WEIGHTED_OPS
    return NodeCounts(
        nodes=len(graph.node) - counts["Constant"],
        casts=counts["Cast"],
        fp16=counts["fp16"],
        fp32=counts["fp32"],
        layers_fp16=layers["fp16"],
        layers_fp32=layers["fp32"],
    )


def engine_figures(onnx_path: Path, variant: Variant, target: str, folder: Path) -> dict[str, Any]:
    """One engine for a GPU that need not be here: layers, bytes, seconds; or why TensorRT refuses the graph."""
    lines: list[str] = []
    request = EngineRequest(target=target, timing_cache_dir=folder, on_progress=lines.append)
    try:
        record = engine_from_onnx(onnx_path, variant, folder / f"{onnx_path.stem}_{target}.plan", request)
    except ExportError as exc:
        return {"target": target, "refused": str(exc)}
    return {
        "target": target,
        "library": f"{record.library} {record.library_version}",
        "bytes": record.engine_bytes,
        "build_s": record.build_s,
        "weight_shares": record.weight_shares,
        "layer_outputs": record.layer_outputs,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Boxes shown at confidence 0.25 against those of the FP32 graph; errors of pairs, boxes in letterboxed pixels."""

    boxes: int
    lost: int
    added: int
    mean_confidence_error: float
    worst_confidence_error: float
    mean_box_error_px: float
    worst_box_error_px: float


def agreement_from_rows(found: Array, reference: Array) -> Agreement:
    """How far rows (n, 300, 6) agree with the reference's, picture by picture."""
    figures = figures_from_baseline(
        [detections_in_letterbox(rows) for rows in found], [detections_in_letterbox(rows) for rows in reference]
    )
    lost = sum(figures.class_lost.values())
    # Of the boxes shown on either side, those without a partner on the other.
    alone = round((1 - (figures.matched_share or 0)) * (figures.boxes + figures.found_boxes))
    return Agreement(
        boxes=figures.boxes,
        lost=lost,
        added=alone - lost,
        mean_confidence_error=figures.mean_confidence_error,
        worst_confidence_error=figures.worst_confidence_error,
        mean_box_error_px=figures.mean_box_error_px,
        worst_box_error_px=figures.worst_box_error_px,
    )
