"""Keypoints: the named points of each detection, and the lines of a skeleton between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

BOX_COLUMNS = 6
"""Columns of a detections row before its points: x1, y1, x2, y2, confidence, class."""
POINT_WIDTH = 3
"""Columns of one point in a detections row: x, y, visibility."""
VISIBLE = 0.5
"""Points of this visibility or more are drawn and compared; what a model guesses of the rest lies anywhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeypointLayout:
    """What the points of a model are. names: one a point, in the model's order; left and right are the person's own.

    skeleton: pairs of point numbers that a drawn skeleton joins; () where nothing joins them.
    """

    names: tuple[str, ...]
    skeleton: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        """Raise ValueError unless every point has a name of its own and every line joins two of them."""
        if not self.names or len(set(self.names)) != len(self.names):
            raise ValueError(f"keypoints need a name each, and each its own, got {self.names}")
        if any(not 0 <= end < len(self.names) for line in self.skeleton for end in line):
            raise ValueError(f"the skeleton joins points of 0 to {len(self.names) - 1}, got {self.skeleton}")

    def __len__(self) -> int:
        """Number of points of each detection."""
        return len(self.names)


def row_width(layout: KeypointLayout | None) -> int:
    """Columns of a detections row: 6, and x, y, visibility of each keypoint."""
    return BOX_COLUMNS + (POINT_WIDTH * len(layout) if layout else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keypoints:
    """The points of n detections, in their order. xyv: (n, K, 3) float32, x and y in pixels, then visibility 0..1.

    Points may lie outside the picture: a model tells where a foot is that the picture cuts off.
    """

    xyv: npt.NDArray[np.float32]
    layout: KeypointLayout

    def __post_init__(self) -> None:
        """Raise ValueError unless the array has the documented dtype and shape."""
        expected = (len(self.xyv), len(self.layout), POINT_WIDTH)
        if self.xyv.dtype != "float32" or self.xyv.shape != expected:
            raise ValueError(f"xyv must be float32 with shape {expected}, got {self.xyv.dtype} with {self.xyv.shape}")

    def __len__(self) -> int:
        """Number of detections."""
        return len(self.xyv)

    def select(self, chosen: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> Keypoints:
        """The points of those detections."""
        return Keypoints(xyv=self.xyv[chosen], layout=self.layout)


POSE_NAMES = (
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder"),
    *("left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip"),
    *("left_knee", "right_knee", "left_ankle", "right_ankle"),
)
POSE_SKELETON = (
    *((15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8)),
    *((7, 9), (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6)),
)
COCO_POSE = KeypointLayout(names=POSE_NAMES, skeleton=POSE_SKELETON)
"""COCO's 17 points of a person."""
FACE = KeypointLayout(names=("right_eye", "left_eye", "nose", "mouth_right", "mouth_left"))
"""Five landmarks of a face. The person's right eye is at the left of the picture."""


@lru_cache(maxsize=64)
def layout_from_names(names: tuple[str, ...], skeleton: tuple[tuple[int, int], ...] = ()) -> KeypointLayout | None:
    """The layout of a card's names; None where there are none."""
    return KeypointLayout(names=names, skeleton=skeleton) if names else None


def layout_of_count(count: int, names: Sequence[str] = ()) -> KeypointLayout:
    """The layout of a model that tells `count` points: COCO's of 17, else numbered ones: five may be anything's.

    names: what the model calls them, used where they are `count` names and all different.
    """
    known = COCO_POSE if count == len(COCO_POSE) else None
    told = tuple(str(name) for name in names)
    if len(told) == count == len(set(told)):
        return KeypointLayout(names=told, skeleton=known.skeleton if known and told == known.names else ())
    return known or KeypointLayout(names=tuple(f"point{number}" for number in range(count)))


def columns_with_visibility(first: int, count: int) -> list[int]:
    """Which column of an output with one column of ones behind it each column becomes, for points of x and y alone.

    first: the column of the first of `count` points, which are the last columns. Each gets the ones as its visibility.
    """
    ones = first + (POINT_WIDTH - 1) * count
    points = [column for at in range(first, ones, 2) for column in (at, at + 1, ones)]
    return [*range(first), *points]
