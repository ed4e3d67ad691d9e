"""The kinds of model that people bring: which are served, and what is said to the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from photofinish.errors import ExportError
from photofinish.keypoints.layout import POINT_WIDTH, KeypointLayout, layout_of_count

MAX_POINTS = 1000
"""More is no pose model's, and would be reserved in memory."""
BOXES_ONLY = "--boxes-only"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of model that is not served with its own answers. words: what it is. answers: with what it answers.

    remedy: what works instead. has_boxes: its boxes alone can be served.
    """

    words: str
    answers: str
    remedy: str
    has_boxes: bool = False


REFUSED: Mapping[str, Kind] = {
    "segment": Kind(
        words="a segmentation model",
        answers="masks",
        remedy=f"pass {BOXES_ONLY} to serve its boxes without them, or detection weights such as yolo26n.pt",
        has_boxes=True,
    ),
    "obb": Kind(
        words="an oriented-box model",
        answers="turned boxes",
        remedy="pass detection weights trained on the upright boxes around the same labels",
    ),
    "classify": Kind(
        words="a classification model",
        answers="one class for a whole picture",
        remedy="pass detection or pose weights, such as yolo26n.pt or yolo26n-pose.pt",
    ),
    "semantic": Kind(
        words="a semantic segmentation model",
        answers="a class for each pixel",
        remedy="pass detection weights such as yolo26n.pt",
    ),
    "depth": Kind(
        words="a depth model",
        answers="a distance for each pixel",
        remedy="pass detection weights such as yolo26n.pt",
    ),
}
"""By Ultralytics' name of the task."""


def refuse_kind(what: str, task: str, *, boxes_only: bool = False) -> None:
    """ExportError in one line, for a task that is not served; nothing for those that are.

    boxes_only: the user wants the boxes alone.
    """
    unknown = Kind(words=f"a model for {task}", answers="other things", remedy="pass detection weights")
    kind = REFUSED.get(task, unknown)
    if task in ("detect", "pose") or (boxes_only and kind.has_boxes):
        return
    raise ExportError(
        f"{what} is {kind.words}, which answers with {kind.answers}; Photofinish serves boxes and keypoints: "
        f"{kind.remedy}"
    )


def layout_from_shape(shape: object, names: object, what: str) -> tuple[KeypointLayout, int]:
    """What a pose model's points are, and how many values each has: 2 (x, y) or 3 (and visibility).

    shape: Ultralytics' `kpt_shape`. names: its `kpt_names`, by class; the first class's serve. ExportError where the
    shape is none.
    """
    told = list(shape) if isinstance(shape, Sequence) and not isinstance(shape, str) else []
    if len(told) != 2 or not all(isinstance(item, int) for item in told):
        raise ExportError(f"{what} is a pose model without a usable kpt_shape (found {shape!r}); train it again")
    count, values = told
    if not 0 < count <= MAX_POINTS or values not in (2, POINT_WIDTH):
        raise ExportError(f"{what} tells {count} points of {values} values; served are 1 to {MAX_POINTS} of 2 or 3")
    by_class = list(names.values()) if isinstance(names, Mapping) else []
    first = by_class[0] if by_class else names
    return layout_of_count(count, first if isinstance(first, (list, tuple)) else ()), values
