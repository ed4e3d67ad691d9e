"""What a detector found in one frame, and how boxes are compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from photofinish.keypoints.layout import BOX_COLUMNS, POINT_WIDTH, KeypointLayout, Keypoints, row_width
from photofinish.letterbox import Letterbox

ROW_WIDTH = BOX_COLUMNS
"""Columns of a detections row: x1, y1, x2, y2, confidence, class. Keypoints, where a model has some, follow them."""
MAX_ROWS = 300
"""Rows per picture in the frames contract; unused ones have confidence 0."""

SHOWN_CONFIDENCE = 0.25
"""Boxes that a user sees; weaker ones may change places with the precision."""
PARTNER_CONFIDENCE = 0.15
"""A shown box's partner in another artifact's answer may be a little weaker, so that a box at the limit is not lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detections:
    """Boxes in original-frame pixels, best first.

    boxes_xyxy: (n, 4) float32; confidence: (n,) float32 in 0..1; class_id: (n,) int32. keypoints: those of each box in
    the same pixels, None where the model has none.
    """

    boxes_xyxy: npt.NDArray[np.float32]
    confidence: npt.NDArray[np.float32]
    class_id: npt.NDArray[np.int32]
    keypoints: Keypoints | None = None

    def __post_init__(self) -> None:
        """Raise ValueError unless all arrays have one length and the documented dtype."""
        count = len(self.confidence)
        _require("boxes_xyxy", self.boxes_xyxy, np.float32, (count, 4))
        _require("confidence", self.confidence, np.float32, (count,))
        _require("class_id", self.class_id, np.int32, (count,))
        if self.keypoints is not None and len(self.keypoints) != count:
            raise ValueError(f"keypoints must be those of {count} boxes, got {len(self.keypoints)}")

    def __len__(self) -> int:
        """Number of boxes."""
        return len(self.confidence)

    def at_least(self, min_confidence: float) -> Detections:
        """Only the boxes whose confidence is `min_confidence` or more."""
        return self.select(self.confidence >= min_confidence)

    def select(self, chosen: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> Detections:
        """The boxes that a mask (n,) or an index array names, in that order."""
        return Detections(
            boxes_xyxy=self.boxes_xyxy[chosen],
            confidence=self.confidence[chosen],
            class_id=self.class_id[chosen],
            keypoints=None if self.keypoints is None else self.keypoints.select(chosen),
        )


def _require(name: str, array: npt.NDArray[np.generic], dtype: type[np.generic], shape: tuple[int, ...]) -> None:
    if array.dtype != dtype or array.shape != shape:
        raise ValueError(
            f"{name} must be {np.dtype(dtype).name} with shape {shape}, got {array.dtype} with shape {array.shape}"
        )


def empty_detections() -> Detections:
    """No boxes."""
    return Detections(
        boxes_xyxy=np.empty((0, 4), np.float32), confidence=np.empty(0, np.float32), class_id=np.empty(0, np.int32)
    )


ReadRows = Callable[[npt.NDArray[np.float32], Letterbox, float], Detections | None]
"""As `detections_from_rows` of rows without keypoints, with a least confidence; None for what it cannot read."""


def detections_in_letterbox(rows: npt.NDArray[np.float32]) -> Detections:
    """The boxes of the frames contract's rows (n, 6 or more) of one picture: all of them, in letterboxed pixels."""
    return Detections(boxes_xyxy=rows[:, :4], confidence=rows[:, 4], class_id=np.rint(rows[:, 5]).astype(np.int32))


def detections_from_rows(
    rows: npt.NDArray[np.float32],
    letterbox: Letterbox,
    *,
    min_confidence: float = SHOWN_CONFIDENCE,
    nms_iou: float | None = None,
    layout: KeypointLayout | None = None,
    read_rows: ReadRows | None = None,
) -> Detections:
    """Detections in the source picture from the frames contract's rows of one picture.

    rows: (300, 6) float32 `x1, y1, x2, y2, confidence, class` in letterboxed pixels, and x, y, visibility of each
    keypoint of `layout`; any row count is accepted.
    nms_iou: overlap above which the weaker box of a class is dropped; None for heads that need no NMS.
    read_rows: tried first where there are no keypoints.
    """
    if rows.ndim != 2 or rows.shape[1] != row_width(layout):
        raise ValueError(f"rows must have shape (n, {row_width(layout)}), got {rows.shape}")
    if read_rows and not layout and (found := read_rows(rows, letterbox, min_confidence)) is not None:
        return found if nms_iou is None else found.select(nms_indices(found, nms_iou))
    kept = rows[(rows[:, 4] >= min_confidence) & (rows[:, 4] > 0)]
    if not np.isfinite(kept).all():
        # A model that overflows gives rows without a place or class: nobody can draw or count them.
        kept = kept[np.isfinite(kept).all(axis=1)]
    kept = kept[np.argsort(-kept[:, 4], kind="stable")]
    detections = Detections(
        boxes_xyxy=letterbox.boxes_to_source(kept[:, :4].astype(np.float32)),
        confidence=kept[:, 4].astype(np.float32),
        class_id=np.rint(kept[:, 5]).astype(np.int32),
        keypoints=_keypoints_from_rows(kept, letterbox, layout) if layout else None,
    )
    return detections if nms_iou is None else detections.select(nms_indices(detections, nms_iou))


def _keypoints_from_rows(rows: npt.NDArray[np.float32], letterbox: Letterbox, layout: KeypointLayout) -> Keypoints:
    xyv = rows[:, ROW_WIDTH:].astype(np.float32).reshape(len(rows), len(layout), POINT_WIDTH)
    xyv[..., :2] = letterbox.points_to_source(xyv[..., :2])
    return Keypoints(xyv=xyv, layout=layout)


def detections_to_target(detections: Detections, letterbox: Letterbox) -> Detections:
    """The same detections in letterboxed pixels, such as those of a smaller picture that is drawn on."""
    keypoints = detections.keypoints
    if keypoints is not None:
        xyv = keypoints.xyv.copy()
        xyv[..., :2] = letterbox.points_to_target(xyv[..., :2])
        keypoints = Keypoints(xyv=xyv, layout=keypoints.layout)
    return replace(detections, boxes_xyxy=letterbox.boxes_to_target(detections.boxes_xyxy), keypoints=keypoints)


def points_by_name(detections: Detections) -> list[dict[str, list[float]] | None]:
    """For each box its points as programs read them: [x, y, visibility] by name; None where the model has none."""
    keypoints = detections.keypoints
    if keypoints is None:
        return [None] * len(detections)
    # Not numpy's rounding: of float32 it leaves digits that JSON would show.
    return [
        {
            name: [round(x, 1), round(y, 1), round(visibility, 3)]
            for name, (x, y, visibility) in zip(keypoints.layout.names, points, strict=True)
        }
        for points in keypoints.xyv.tolist()
    ]


def iou_matrix(a_xyxy: npt.NDArray[np.float32], b_xyxy: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Intersection over union of every box of a (n, 4) with every box of b (m, 4): (n, m) float32."""
    # Column by column: a last axis of two costs more than what is computed along it.
    a_x1, a_y1, a_x2, a_y2 = np.ascontiguousarray(a_xyxy.T)[:, :, None]
    b_x1, b_y1, b_x2, b_y2 = np.ascontiguousarray(b_xyxy.T)[:, None, :]
    width = np.minimum(a_x2, b_x2) - np.maximum(a_x1, b_x1)
    height = np.minimum(a_y2, b_y2) - np.maximum(a_y1, b_y1)
    intersection = np.maximum(width, 0) * np.maximum(height, 0)
    area_a = np.maximum(a_x2 - a_x1, 0) * np.maximum(a_y2 - a_y1, 0)
    area_b = np.maximum(b_x2 - b_x1, 0) * np.maximum(b_y2 - b_y1, 0)
    union = area_a + area_b - intersection
    overlap = np.zeros(union.shape, dtype=np.float32)
    np.divide(intersection, union, out=overlap, where=union > 0)
    return overlap


def diagonals(boxes_xyxy: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Length of each box's diagonal (n,), at least 1 pixel: what errors of keypoints are shares of."""
    sides = boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]
    lengths: npt.NDArray[np.float32] = np.maximum(np.hypot(sides[:, 0], sides[:, 1]), np.float32(1))
    return lengths


def nms_indices(detections: Detections, iou_threshold: float) -> npt.NDArray[np.intp]:
    """Indices that survive greedy per-class non-maximum suppression, best first."""
    overlaps = iou_matrix(detections.boxes_xyxy, detections.boxes_xyxy)
    same_class = detections.class_id[:, None] == detections.class_id[None, :]
    suppresses = (overlaps > iou_threshold) & same_class
    alive = np.ones(len(detections), dtype=np.bool_)
    order = np.argsort(-detections.confidence, kind="stable")
    for position, best in enumerate(order):
        if alive[best]:
            rest = order[position + 1 :]
            alive[rest[suppresses[best, rest]]] = False
    return order[alive[order]]


def match_detections(found: Detections, reference: Detections, *, iou_threshold: float = 0.5) -> npt.NDArray[np.intp]:
    """For each found box the index of its reference box, or -1: (n,) intp.

    Greedy: the best confidence first, for each the largest overlap that is left. Classes must agree; a reference box is
    used once.
    """
    matches = np.full(len(found), -1, dtype=np.intp)
    if not len(found) or not len(reference):
        return matches
    overlaps = iou_matrix(found.boxes_xyxy, reference.boxes_xyxy)
    may_match = (overlaps >= iou_threshold) & (found.class_id[:, None] == reference.class_id[None, :])
    rows, columns = np.nonzero(may_match)
    place = np.empty(len(found), dtype=np.intp)
    place[np.argsort(-found.confidence, kind="stable")] = np.arange(len(found))
    order = np.lexsort((columns, -overlaps[rows, columns], place[rows]))
    used = set[int]()
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if matches[row] < 0 and column not in used:
            matches[row] = column
            used.add(column)
    return matches


def match_partners(shown: Detections, other: Detections) -> npt.NDArray[np.intp]:
    """As `match_detections`, in another answer: its boxes of SHOWN_CONFIDENCE are taken first, then weaker ones.

    A model without NMS gives faint boxes beside the strong one, and a faint one may overlap more.
    """
    matches = np.full(len(shown), -1, dtype=np.intp)
    is_strong = other.confidence >= SHOWN_CONFIDENCE
    for wanted in (is_strong, ~is_strong):
        rest = np.flatnonzero(matches < 0)
        found = match_detections(shown.select(rest), other.select(wanted))
        matches[rest[found >= 0]] = np.flatnonzero(wanted)[found[found >= 0]]
    return matches
