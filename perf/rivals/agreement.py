"""Do two programs find the same? A faster one that looks at something else is not faster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from photofinish.detections import PARTNER_CONFIDENCE, SHOWN_CONFIDENCE, Detections, iou_matrix, match_partners


def agreement_of(found: Sequence[Detections], ours: Sequence[Detections], *, against: str) -> dict[str, Any]:
    """How many of the boxes that one program shows another finds too, frame by frame: values for an arm of a record.

    boxes, other_boxes: what each shows. matched: of `boxes`, those with a partner of the same class at an IoU of at
    least 0.5, which may be a little weaker than what is shown. mean_iou: of the pairs, None without any. against: the
    other's key.
    """
    overlaps: list[float] = []
    boxes, other_boxes = 0, 0
    for theirs, other in zip(found, ours, strict=True):
        shown, partners = theirs.at_least(SHOWN_CONFIDENCE), other.at_least(PARTNER_CONFIDENCE)
        matches = match_partners(shown, partners)
        boxes += len(shown)
        other_boxes += len(other.at_least(SHOWN_CONFIDENCE))
        overlap = iou_matrix(shown.boxes_xyxy, partners.boxes_xyxy)
        overlaps += [float(overlap[row, column]) for row, column in enumerate(matches) if column >= 0]
    return {
        "against": against,
        "frames": len(found),
        "boxes": boxes,
        "other_boxes": other_boxes,
        "matched": len(overlaps),
        "mean_iou": round(float(np.mean(overlaps)), 4) if overlaps else None,
    }


def detections_from_rows(rows: Sequence[Sequence[float]]) -> Detections:
    """Boxes from rows of x1 y1 x2 y2 confidence class."""
    table = np.asarray(rows, np.float32).reshape(-1, 6)
    order = np.argsort(-table[:, 4], kind="stable")
    return Detections(
        boxes_xyxy=table[order, :4], confidence=table[order, 4], class_id=table[order, 5].astype(np.int32)
    )
