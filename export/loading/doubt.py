"""What a detector's answers on the reference photos say against the layout that its output was taken for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from photofinish.detections import MAX_ROWS, SHOWN_CONFIDENCE, detections_in_letterbox, nms_indices
from photofinish.heads import rows_from_head
from photofinish.keypoints.layout import POINT_WIDTH
from photofinish.model_card import NMS_IOU, Head

Array = npt.NDArray[np.float32]
MARGIN = 0.01
"""How far rounding may carry a confidence beyond 0..1, a size below 0, a class from a whole number."""
PIXEL = 1.5
"""Coordinates that never exceed this are shares of the picture, or counted in cells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoAnswers:
    """What was found on the reference photos. boxes: those that would be shown, over both photos.

    impossible: what no output of the layout can hold. unlikely: what an output of the layout seldom holds.
    """

    boxes: int
    impossible: tuple[str, ...]
    unlikely: tuple[str, ...]

    @property
    def doubts(self) -> tuple[str, ...]:
        """All of them, in words."""
        return (*self.impossible, *self.unlikely)


def answers_from_raw(raw: Array, head: Head, *, points: int = 0) -> PhotoAnswers:
    """Judge the raw output (photos, …) as the layout `head`, rows or a raw YOLO's, in pixels of the input.

    points: columns of keypoints at its end, which are not judged.
    """
    if not np.isfinite(raw).all():
        return PhotoAnswers(boxes=0, impossible=("the output holds NaN or infinity",), unlikely=())
    if points:
        raw = raw[..., :-points] if head == "rows" else raw[:, :-points]
    impossible = _impossible_rows(raw) if head == "rows" else _impossible_raw(raw, head)
    shown = [_shown(picture, head) for picture in raw]
    unlikely = []
    if not any(shown):
        unlikely.append(f"no photo shows a box of confidence {SHOWN_CONFIDENCE} or more")
    if all(count >= MAX_ROWS for count in shown):
        unlikely.append(f"every photo is full: {MAX_ROWS} boxes of confidence {SHOWN_CONFIDENCE} or more")
    return PhotoAnswers(boxes=sum(shown), impossible=tuple(impossible), unlikely=tuple(unlikely))


def may_be_pose(raw: Array, classes: int) -> bool:
    """Whether the raw output can be a YOLO head of so many classes with points of three values behind them."""
    if raw.ndim != 3 or raw.shape[1] >= raw.shape[2]:
        return False
    points = raw.shape[1] - 4 - classes
    if points < POINT_WIDTH or points % POINT_WIDTH:
        return False
    return not answers_from_raw(raw, "yolo_raw", points=points).impossible


def _impossible_rows(raw: Array) -> list[str]:
    found = _outside(raw[..., 4])
    if np.abs(raw[..., 5] - np.round(raw[..., 5])).max() > MARGIN or raw[..., 5].min() < -MARGIN:
        found.append("classes are no whole numbers")
    shown = raw[raw[..., 4] >= SHOWN_CONFIDENCE]
    if len(shown) and (shown[:, 2:4] < shown[:, :2] - MARGIN).any():
        found.append("boxes end left of or above their beginning")
    if len(shown) and np.abs(shown[:, :4]).max() <= PIXEL:
        found.append("all boxes are under a pixel")
    return found


def _impossible_raw(raw: Array, head: Head) -> list[str]:
    table = raw.transpose(0, 2, 1) if head == "yolo_raw" else raw
    found = _outside(table[..., 4:])
    if (smallest := float(table[..., 2:4].min())) < -MARGIN:
        found.append(f"boxes have negative sizes, to {smallest:.3g}")
    if table[..., 2:4].max() <= PIXEL:
        found.append("all boxes are under a pixel")
    return found


def _outside(confidence: Array) -> list[str]:
    lowest, highest = float(confidence.min()), float(confidence.max())
    if lowest < -MARGIN or highest > 1 + MARGIN:
        return [f"confidences lie outside 0..1, from {lowest:.3g} to {highest:.3g}"]
    return []


def _shown(picture: Array, head: Head) -> int:
    """How many boxes of one photo a client would show, at most MAX_ROWS."""
    rows = rows_from_head(picture, head)
    rows = rows[rows[:, 4] >= SHOWN_CONFIDENCE]
    if head != "rows":
        return min(len(nms_indices(detections_in_letterbox(rows), NMS_IOU)), MAX_ROWS)
    return min(len(rows), MAX_ROWS)
