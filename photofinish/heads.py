"""From a model's output tensor to detections, for every head that the model card can name."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from photofinish.detections import MAX_ROWS, ROW_WIDTH, SHOWN_CONFIDENCE, Detections, detections_from_rows
from photofinish.errors import ConfigError
from photofinish.letterbox import Letterbox
from photofinish.model_card import ModelCard

NMS_IOU = 0.7
"""Overlap above which the weaker box of a class is dropped; what Ultralytics predicts with."""
MAX_CANDIDATES = 3000
"""Boxes of a raw head kept for NMS, best first."""


def detections_from_output(
    output: npt.NDArray[np.float32], card: ModelCard, letterbox: Letterbox, *, min_confidence: float = SHOWN_CONFIDENCE
) -> Detections:
    """At most 300 detections in the source picture from one picture's output, laid out as the card's head says.

    A classifier (head `scores`) gives one box: the whole picture with its best class.
    """
    if card.head == "scores":
        return _whole_picture(output, letterbox)
    found = detections_from_rows(
        rows_from_head(output, card.head, min_confidence=min_confidence),
        letterbox,
        min_confidence=min_confidence,
        nms_iou=NMS_IOU if card.needs_client_nms else None,
    )
    return found if len(found) <= MAX_ROWS else found.select(np.arange(MAX_ROWS))


def rows_from_head(
    output: npt.NDArray[np.float32], head: str, *, min_confidence: float = SHOWN_CONFIDENCE
) -> npt.NDArray[np.float32]:
    """Rows (n, 6) `x1, y1, x2, y2, confidence, class` in letterboxed pixels from one picture's detection output.

    rows: passed through. yolo_raw: (4 + classes, anchors). yolo_raw_objectness: (anchors, 5 + classes).
    Raw heads give the best class of each anchor, at most MAX_CANDIDATES rows, best first.
    """
    if head == "rows":
        _require_shape(output, head, output.ndim == 2 and output.shape[1] >= ROW_WIDTH, f"(n, {ROW_WIDTH})")
        return output[:, :ROW_WIDTH]
    if head == "yolo_raw":
        _require_shape(output, head, output.ndim == 2 and output.shape[0] > 4, "(4 + classes, anchors)")
        return _best_rows(output[:4].T, output[4:].T, min_confidence)
    if head == "yolo_raw_objectness":
        _require_shape(output, head, output.ndim == 2 and output.shape[1] > 5, "(anchors, 5 + classes)")
        centres_xywh, scores = output[:, :4], output[:, 5:] * output[:, 4:5]
        return _best_rows(centres_xywh, scores, min_confidence)
    raise ConfigError(f"the model's head is {head!r}; this client decodes rows, yolo_raw, yolo_raw_objectness, scores")


def _best_rows(
    centres_xywh: npt.NDArray[np.float32], scores: npt.NDArray[np.float32], min_confidence: float
) -> npt.NDArray[np.float32]:
    confidence = scores.max(axis=1)
    likely = np.flatnonzero(confidence >= min_confidence)
    order = likely[np.argsort(-confidence[likely], kind="stable")][:MAX_CANDIDATES]
    centres, half_sizes = centres_xywh[order, :2], centres_xywh[order, 2:] / 2
    rows = np.empty((len(order), ROW_WIDTH), dtype=np.float32)
    rows[:, :2] = centres - half_sizes
    rows[:, 2:4] = centres + half_sizes
    rows[:, 4] = confidence[order]
    rows[:, 5] = scores[order].argmax(axis=1)
    return rows


def _whole_picture(output: npt.NDArray[np.float32], letterbox: Letterbox) -> Detections:
    scores = output.reshape(-1).astype(np.float64)
    if scores.min() < 0 or abs(scores.sum() - 1) > 1e-2:
        exponents = np.exp(scores - scores.max())
        scores = exponents / exponents.sum()
    best = int(scores.argmax())
    return Detections(
        boxes_xyxy=np.array([[0, 0, *letterbox.source_wh]], dtype=np.float32),
        confidence=np.array([scores[best]], dtype=np.float32),
        class_id=np.array([best], dtype=np.int32),
    )


def _require_shape(output: npt.NDArray[np.float32], head: str, holds: bool, expected: str) -> None:
    if not holds:
        raise ConfigError(f"a {head} output must have shape {expected} per picture, got {output.shape}")
