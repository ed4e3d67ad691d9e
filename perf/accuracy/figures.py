"""Detections against the truth (COCO's mAP) and against the baseline's detections (agreement)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

from photofinish.detections import PARTNER_CONFIDENCE, SHOWN_CONFIDENCE, Detections, match_partners

MAX_BOXES = 300
"""Boxes per picture that count, as in Ultralytics' validation (COCO's own default is 100)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TruthFigures:
    """COCO's figures, 0..1. class_map50_95: mAP50-95 of each class that has labelled objects."""

    map50_95: float
    map50: float
    class_map50_95: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementFigures:
    """One variant's shown boxes against the baseline's.

    boxes: the baseline's; found_boxes: the variant's. matched_share: of all these, the share with a partner (same
    class, IoU at least 0.5); None when neither side shows any. Errors are of matched pairs, boxes in pixels of the
    picture (largest of the four sides), 0 without pairs. class_lost: the baseline's boxes without a partner, by class.
    """

    boxes: int
    found_boxes: int
    matched_share: float | None
    mean_box_error_px: float
    worst_box_error_px: float
    mean_confidence_error: float
    worst_confidence_error: float
    class_lost: Mapping[int, int] = field(default_factory=dict)


def figures_from_truth(
    found: Sequence[Detections], truth: Sequence[Detections], sizes_wh: Sequence[tuple[int, int]], names: Sequence[str]
) -> TruthFigures:
    """mAP by faster-coco-eval, IoU 0.50 to 0.95, over classes that have labelled objects; pictures in one order."""
    reference = COCO(_coco_from_truth(truth, sizes_wh, names))
    evaluator = COCOeval_faster(reference, _loaded(reference, found), "bbox", print_function=_ignore)
    evaluator.params.maxDets = [1, 10, MAX_BOXES]
    evaluator.evaluate()
    evaluator.accumulate()
    # precision: (IoU thresholds, recall points, classes, areas, box limits); -1 where a class has no objects.
    precision = np.asarray(evaluator.eval["precision"])[:, :, :, 0, -1]
    per_class = {
        names[label]: float(precision[:, :, position].mean())
        for position, label in enumerate(evaluator.params.catIds)
        if precision[:, :, position].min(initial=0) >= 0
    }
    labelled = precision[:, :, precision.min(axis=(0, 1), initial=0) >= 0]
    return TruthFigures(
        map50_95=float(labelled.mean()) if labelled.size else 0.0,
        map50=float(labelled[0].mean()) if labelled.size else 0.0,
        class_map50_95=per_class,
    )


def figures_from_baseline(found: Sequence[Detections], baseline: Sequence[Detections]) -> AgreementFigures:
    """How far the shown boxes agree, picture by picture."""
    matched, boxes, found_boxes = 0, 0, 0
    box_errors: list[float] = []
    confidence_errors: list[float] = []
    lost: dict[int, int] = {}
    for ours, theirs in zip(found, baseline, strict=True):
        shown, partners = theirs.at_least(SHOWN_CONFIDENCE), ours.at_least(PARTNER_CONFIDENCE)
        matches = match_partners(shown, partners)
        pairs = matches >= 0
        boxes += len(shown)
        matched += int(pairs.sum())
        for label in shown.class_id[~pairs]:
            lost[int(label)] = lost.get(int(label), 0) + 1
        if pairs.any():
            partner = partners.select(matches[pairs])
            own = shown.select(pairs)
            box_errors.extend(np.abs(partner.boxes_xyxy - own.boxes_xyxy).max(axis=1).tolist())
            confidence_errors.extend(np.abs(partner.confidence - own.confidence).tolist())
        extra = ours.at_least(SHOWN_CONFIDENCE)
        found_boxes += len(extra)
        matched += int((match_partners(extra, theirs.at_least(PARTNER_CONFIDENCE)) >= 0).sum())
    total = boxes + found_boxes
    return AgreementFigures(
        boxes=boxes,
        found_boxes=found_boxes,
        matched_share=matched / total if total else None,
        mean_box_error_px=float(np.mean(box_errors)) if box_errors else 0.0,
        worst_box_error_px=max(box_errors, default=0.0),
        mean_confidence_error=float(np.mean(confidence_errors)) if confidence_errors else 0.0,
        worst_confidence_error=max(confidence_errors, default=0.0),
        class_lost=lost,
    )


def _coco_from_truth(
    truth: Sequence[Detections], sizes_wh: Sequence[tuple[int, int]], names: Sequence[str]
) -> dict[str, Any]:
    annotations: list[dict[str, Any]] = []
    for index, objects in enumerate(truth):
        for box, label in zip(objects.boxes_xyxy.tolist(), objects.class_id.tolist(), strict=True):
            x1, y1, x2, y2 = box
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": index,
                    "category_id": label,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1),
                    "iscrowd": 0,
                }
            )
    return coco_document(annotations, sizes_wh, names)


def coco_document(
    annotations: list[dict[str, Any]], sizes_wh: Sequence[tuple[int, int]], names: Sequence[str]
) -> dict[str, Any]:
    """Labels as COCO's evaluation reads them: pictures and classes are numbered from 0."""
    return {
        "info": {},
        "licenses": [],
        "images": [{"id": index, "width": size[0], "height": size[1]} for index, size in enumerate(sizes_wh)],
        "annotations": annotations,
        "categories": [{"id": label, "name": name} for label, name in enumerate(names)],
    }


def _loaded(reference: Any, found: Sequence[Detections]) -> Any:
    rows = [
        {
            "image_id": index,
            "category_id": label,
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "score": score,
        }
        for index, detections in enumerate(found)
        for (x1, y1, x2, y2), score, label in zip(
            detections.boxes_xyxy.tolist(), detections.confidence.tolist(), detections.class_id.tolist(), strict=True
        )
    ]
    # The evaluator cannot load an empty list; a box without area and confidence changes no figure.
    nothing = [{"image_id": 0, "category_id": 0, "bbox": [0.0, 0.0, 0.0, 0.0], "score": 0.0}]
    return reference.loadRes(rows or nothing)


def _ignore(*text: object) -> None:
    """The evaluator's chatter."""
