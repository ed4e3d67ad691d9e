"""What an FP16 graph is like: its nodes by precision, the engines TensorRT makes of it, and what it still finds.

Backs: docs/tensorrt.md, "AutoCast also takes box decoding to FP16"
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto

from photofinish.detections import Detections, match_detections
from photofinish.errors import ExportError
from photofinish.export.graph.fp16 import WEIGHTED_OPS
from photofinish.export.tensorrt.engine import EngineRequest, engine_from_onnx
from photofinish.variant import Variant

Array = npt.NDArray[np.float32]
SHOWN_CONFIDENCE = 0.25
PARTNER_CONFIDENCE = 0.15
"""As in the accuracy gate: a shown box may have a partner that is a little weaker."""
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
    boxes = lost = added = 0
    confidence_errors: list[float] = []
    box_errors: list[float] = []
    for found_rows, reference_rows in zip(found, reference, strict=True):
        ours, theirs = _detections(found_rows), _detections(reference_rows)
        shown, partners = theirs.at_least(SHOWN_CONFIDENCE), ours.at_least(PARTNER_CONFIDENCE)
        matches = match_detections(shown, partners)
        pairs = matches >= 0
        boxes += len(shown)
        lost += int((~pairs).sum())
        extra = match_detections(ours.at_least(SHOWN_CONFIDENCE), theirs.at_least(PARTNER_CONFIDENCE))
        added += int((extra < 0).sum())
        if pairs.any():
            partner, own = partners.select(matches[pairs]), shown.select(pairs)
            confidence_errors.extend(np.abs(partner.confidence - own.confidence).tolist())
            box_errors.extend(np.abs(partner.boxes_xyxy - own.boxes_xyxy).max(axis=1).tolist())
    return Agreement(
        boxes=boxes,
        lost=lost,
        added=added,
        mean_confidence_error=_mean(confidence_errors),
        worst_confidence_error=max(confidence_errors, default=0.0),
        mean_box_error_px=_mean(box_errors),
        worst_box_error_px=max(box_errors, default=0.0),
    )


def _detections(rows: Array) -> Detections:
    return Detections(boxes_xyxy=rows[:, :4], confidence=rows[:, 4], class_id=np.rint(rows[:, 5]).astype(np.int32))


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else 0.0
