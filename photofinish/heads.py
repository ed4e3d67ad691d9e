"""From a model's output tensor to detections, for every head that the model card can name."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from photofinish.detections import MAX_ROWS, ROW_WIDTH, SHOWN_CONFIDENCE, Detections, ReadRows, detections_from_rows
from photofinish.errors import ConfigError
from photofinish.keypoints.layout import POINT_WIDTH
from photofinish.letterbox import Letterbox
from photofinish.model_card import ModelCard

MAX_CANDIDATES = 3000
"""Boxes of a raw head kept for NMS, best first."""


def detections_from_output(
    output: npt.NDArray[np.float32],
    card: ModelCard,
    letterbox: Letterbox,
    *,
    min_confidence: float = SHOWN_CONFIDENCE,
    read_rows: ReadRows | None = None,
) -> Detections:
    """At most 300 detections in the source picture from one picture's output, laid out as the card's head says.

    A classifier (head `scores`) gives one box: the whole picture with its best class.
    read_rows: in place of numpy where it can.
    """
    if card.head == "scores":
        return _whole_picture(output, letterbox)
    layout = card.keypoint_layout
    found = detections_from_rows(
        rows_from_head(output, card.head, min_confidence=min_confidence, keypoints=len(layout or ())),
        letterbox,
        min_confidence=min_confidence,
        nms_iou=card.nms_iou if card.needs_client_nms else None,
        layout=layout,
        read_rows=read_rows,
    )
    return found if len(found) <= MAX_ROWS else found.select(np.arange(MAX_ROWS))


def rows_from_head(
    output: npt.NDArray[np.float32], head: str, *, min_confidence: float = SHOWN_CONFIDENCE, keypoints: int = 0
) -> npt.NDArray[np.float32]:
    """Rows (n, 6 + 3K) `x1, y1, x2, y2, confidence, class` in letterboxed pixels, then x, y, visibility of K keypoints.

    rows: passed through. yolo_raw: (4 + classes + 3K, anchors). yolo_raw_objectness: (anchors, 5 + classes), no points.
    Raw heads give the best class of each anchor, at most MAX_CANDIDATES rows, best first.
    """
    points = POINT_WIDTH * keypoints
    if head == "rows":
        width = ROW_WIDTH + points
        _require_shape(output, head, output.ndim == 2 and output.shape[1] >= width, f"(n, {width})")
        return output[:, :width]
    if head == "yolo_raw":
        expected = f"(4 + classes{f' + {points}' if points else ''}, anchors)"
        _require_shape(output, head, output.ndim == 2 and output.shape[0] > 4 + points, expected)
        end = len(output) - points
        return _best_rows(output[:4].T, output[4:end].T, min_confidence, output[end:].T)
    if head == "yolo_raw_objectness":
        _require_shape(output, head, output.ndim == 2 and output.shape[1] > 5, "(anchors, 5 + classes)")
        centres_xywh, scores = output[:, :4], output[:, 5:] * output[:, 4:5]
        return _best_rows(centres_xywh, scores, min_confidence, output[:, :0])
    raise ConfigError(f"the model's head is {head!r}; this client decodes rows, yolo_raw, yolo_raw_objectness, scores")


def _best_rows(
    centres_xywh: npt.NDArray[np.float32],
    scores: npt.NDArray[np.float32],
    min_confidence: float,
    points: npt.NDArray[np.float32],
) -> npt.NDArray[np.float32]:
    confidence = scores.max(axis=1)
    likely = np.flatnonzero(confidence >= min_confidence)
    order = likely[np.argsort(-confidence[likely], kind="stable")][:MAX_CANDIDATES]
    centres, half_sizes = centres_xywh[order, :2], centres_xywh[order, 2:] / 2
    rows = np.empty((len(order), ROW_WIDTH + points.shape[1]), dtype=np.float32)
    rows[:, :2] = centres - half_sizes
    rows[:, 2:4] = centres + half_sizes
    rows[:, 4] = confidence[order]
    rows[:, 5] = scores[order].argmax(axis=1)
    rows[:, ROW_WIDTH:] = points[order]
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
