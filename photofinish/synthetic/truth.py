"""The exact boxes of a frame.

A box is the extent of the pixels that can be seen: cut by the picture's edges, by nearer actors and by what stands
still in front. Left out are objects of which less than MIN_VISIBLE_SHARE can be seen, and those whose visible part
is lower than MIN_HEIGHT_SHARE of the picture, or under MIN_SIDE_PX in either direction.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from photofinish.detections import Detections
from photofinish.synthetic.projection import ProjectedActor
from photofinish.synthetic.rendering import draw_silhouette
from photofinish.synthetic.viewpoint import Pixels

MIN_VISIBLE_SHARE = 0.3
MIN_HEIGHT_SHARE = 1 / 60
MIN_SIDE_PX = 8.0

Box = tuple[float, float, float, float]


class TruthFinder:
    """Keeps the picture-sized buffer in which actors leave their number."""

    def __init__(self, size_wh: tuple[int, int]) -> None:
        self._size_wh = size_wh
        self._owner: Pixels = np.zeros((size_wh[1], size_wh[0]), dtype=np.uint8)

    def truth(
        self, projected: list[ProjectedActor], behind_static: list[bool], static_depth: npt.NDArray[np.float32]
    ) -> Detections:
        """The objects of a frame, nearest last drawn first.

        projected: in drawing order; behind_static: whether something still stands in front of each.
        """
        clipped = [_clip(item.box, self._size_wh) for item in projected]
        crossing = _overlapping(clipped)
        painted = crossing | np.array(behind_static, dtype=np.bool_)
        areas = self._paint(projected, clipped, painted, behind_static, static_depth)
        boxes: list[Box] = []
        classes: list[int] = []
        for index in range(len(projected) - 1, -1, -1):
            item, box = projected[index], clipped[index]
            share = _area(box) / max(_area(item.box), 1e-6) * item.shown_share
            if painted[index]:
                seen, box = self._seen(box, index % 255 + 1)
                share *= seen / max(areas[index], 1)
            if share >= MIN_VISIBLE_SHARE and self._is_large_enough(box):
                boxes.append(box)
                classes.append(item.actor.class_id)
        return Detections(
            boxes_xyxy=np.array(boxes, dtype=np.float32).reshape(-1, 4),
            confidence=np.ones(len(boxes), dtype=np.float32),
            class_id=np.array(classes, dtype=np.int32),
        )

    def _is_large_enough(self, box: Box) -> bool:
        width, height = box[2] - box[0], box[3] - box[1]
        return min(width, height) >= MIN_SIDE_PX and height >= MIN_HEIGHT_SHARE * self._size_wh[1]

    def _paint(
        self,
        projected: list[ProjectedActor],
        clipped: list[Box],
        painted: npt.NDArray[np.bool_],
        behind_static: list[bool],
        static_depth: npt.NDArray[np.float32],
    ) -> list[int]:
        """Leave every painted actor's number in the buffer; returns the pixels each covers by itself."""
        areas = [0] * len(projected)
        if painted.any():
            self._owner[...] = 0
        for index in np.flatnonzero(painted).tolist():
            rows, columns = _pixels(clipped[index])
            if rows.stop <= rows.start or columns.stop <= columns.start:
                continue
            alone = np.zeros((rows.stop - rows.start, columns.stop - columns.start), dtype=np.uint8)
            draw_silhouette(alone, projected[index], index % 255 + 1, (columns.start, rows.start))
            areas[index] = cv2.countNonZero(alone)
            if behind_static[index]:
                alone[static_depth[rows, columns] < projected[index].depth_m] = 0
            # Drawn later means nearer, and has the higher number.
            cv2.max(self._owner[rows, columns], alone, dst=self._owner[rows, columns])
        return areas

    def _seen(self, box: Box, number: int) -> tuple[int, Box]:
        """Visible pixels of an actor, and its box cut to them where they end well inside it."""
        rows, columns = _pixels(box)
        if rows.stop <= rows.start or columns.stop <= columns.start:
            return 0, (0.0, 0.0, 0.0, 0.0)
        mine = cv2.inRange(self._owner[rows, columns], number, number)
        seen = cv2.countNonZero(mine)
        if not seen:
            return 0, (0.0, 0.0, 0.0, 0.0)
        x, y, width, height = cv2.boundingRect(mine)
        edges = (
            float(columns.start + x),
            float(rows.start + y),
            float(columns.start + x + width),
            float(rows.start + y + height),
        )
        left, top, right, bottom = (
            exact if abs(edge - exact) <= 1.5 else edge for exact, edge in zip(box, edges, strict=True)
        )
        return seen, (left, top, right, bottom)


def _clip(box: Box, size_wh: tuple[int, int]) -> Box:
    width, height = size_wh
    return (
        min(max(box[0], 0.0), width),
        min(max(box[1], 0.0), height),
        min(max(box[2], 0.0), width),
        min(max(box[3], 0.0), height),
    )


def _area(box: Box) -> float:
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)


def _pixels(box: Box) -> tuple[slice, slice]:
    """Rows and columns that a clipped box touches."""
    return slice(int(box[1]), math.ceil(box[3])), slice(int(box[0]), math.ceil(box[2]))


def _overlapping(boxes: list[Box]) -> npt.NDArray[np.bool_]:
    """Which boxes touch another one."""
    if not boxes:
        return np.zeros(0, dtype=np.bool_)
    table = np.array(boxes)
    meets = (table[:, None, 0] <= table[None, :, 2] + 1) & (table[:, None, 1] <= table[None, :, 3] + 1)
    meets &= meets.T
    np.fill_diagonal(meets, False)
    return np.asarray(meets.any(axis=1), dtype=np.bool_)
