"""Boxes cut out of a picture for another model, and its answers back in the picture's coordinates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from photofinish.client.choosing.crops import CropChoice
from photofinish.detections import Detections, empty_detections
from photofinish.keypoints.layout import KeypointLayout, Keypoints

SAME_OBJECT = 0.5
"""Share of the smaller of two boxes, found in different crops, above which both show one object: crops overlap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Numbers of a picture's boxes that are cut out (m,), best first, and how many others of their classes are not."""

    numbers: npt.NDArray[np.intp]
    too_small: int
    over_limit: int


def chosen_boxes(found: Detections, choice: CropChoice, class_names: Sequence[str]) -> Chosen:
    """The boxes of the classes asked for that are large enough, the best up to the limit. class_names: the model's."""
    numbers = np.arange(len(found))
    if choice.classes:
        wanted = [number for number, name in enumerate(class_names) if name in choice.classes]
        numbers = numbers[np.isin(found.class_id, wanted)]
    sides = found.boxes_xyxy[numbers, 2:] - found.boxes_xyxy[numbers, :2]
    large = numbers[sides.min(axis=1, initial=math.inf) >= choice.min_side]
    kept = large[: choice.limit]
    return Chosen(numbers=kept, too_small=len(numbers) - len(large), over_limit=len(large) - len(kept))


def crop_corner_and_pixels(
    image_hwc_bgr: npt.NDArray[np.uint8], box_xyxy: npt.NDArray[np.float32], margin: float = 0.0
) -> tuple[tuple[int, int], npt.NDArray[np.uint8]]:
    """Left and top of the whole pixels that a box touches, and these pixels: a view of the picture.

    margin: share of its width and height by which the box grows at each side, up to the picture's edge.
    """
    height, width = image_hwc_bgr.shape[:2]
    x1, y1, x2, y2 = (float(side) for side in box_xyxy)
    beside, above = margin * (x2 - x1), margin * (y2 - y1)
    x1, y1, x2, y2 = x1 - beside, y1 - above, x2 + beside, y2 + above
    left, top = min(max(math.floor(x1), 0), width - 1), min(max(math.floor(y1), 0), height - 1)
    right, bottom = min(max(math.ceil(x2), left + 1), width), min(max(math.ceil(y2), top + 1), height)
    return (left, top), image_hwc_bgr[top:bottom, left:right]


def moved(found: Detections, corner_xy: tuple[int, int]) -> Detections:
    """What was found in a crop, in the pixels of the picture that it was cut out of at `corner_xy`."""
    corner = np.array(corner_xy, np.float32)
    keypoints = found.keypoints
    if keypoints is not None:
        xyv = keypoints.xyv.copy()
        xyv[..., :2] += corner
        keypoints = Keypoints(xyv=xyv, layout=keypoints.layout)
    return Detections(
        boxes_xyxy=found.boxes_xyxy + np.tile(corner, 2),
        confidence=found.confidence,
        class_id=found.class_id,
        keypoints=keypoints,
    )


def renamed(found: Detections, numbers: npt.NDArray[np.intp], answers: Sequence[Detections]) -> Detections:
    """These boxes, in their order, each under the class and with the score of a classifier's answer to its crop."""
    return Detections(
        boxes_xyxy=found.boxes_xyxy[numbers],
        confidence=np.array([answer.confidence[0] for answer in answers], np.float32),
        class_id=np.array([answer.class_id[0] for answer in answers], np.int32),
    )


def gathered(
    answers: Sequence[Detections], numbers: npt.NDArray[np.intp], layout: KeypointLayout | None
) -> tuple[Detections, npt.NDArray[np.intp]]:
    """What was found in all crops of a picture, best first, each object once, and the number of the box of each.

    answers: of each crop, in the picture's pixels. numbers: of the crops' boxes. layout: of the model's keypoints.
    """
    of = np.repeat(numbers, [len(answer) for answer in answers]).astype(np.intp)
    keypoints = None
    if layout is not None:
        points = [answer.keypoints.xyv for answer in answers if answer.keypoints is not None]
        keypoints = Keypoints(xyv=np.concatenate([np.empty((0, len(layout), 3), np.float32), *points]), layout=layout)
    nothing = empty_detections()
    every = Detections(
        boxes_xyxy=np.concatenate([nothing.boxes_xyxy, *(answer.boxes_xyxy for answer in answers)]),
        confidence=np.concatenate([nothing.confidence, *(answer.confidence for answer in answers)]),
        class_id=np.concatenate([nothing.class_id, *(answer.class_id for answer in answers)]),
        keypoints=keypoints,
    )
    kept = _each_once(every, of)
    return every.select(kept), of[kept]


def _each_once(found: Detections, of: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Best first, without what a better one of the same class shows that was found in another crop.

    A crop's border cuts an object, so that its two boxes overlap little by their union; hence the smaller one counts.
    """
    order = np.argsort(-found.confidence, kind="stable")
    boxes = found.boxes_xyxy
    areas = np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)
    kept: list[int] = []
    for number in order.tolist():
        rivals = [i for i in kept if of[i] != of[number] and found.class_id[i] == found.class_id[number]]
        shared = np.minimum(boxes[rivals, 2:], boxes[number, 2:]) - np.maximum(boxes[rivals, :2], boxes[number, :2])
        smaller = np.minimum(areas[rivals], areas[number])
        if not (np.prod(np.maximum(shared, 0), axis=1) > SAME_OBJECT * smaller).any():
            kept.append(number)
    return np.array(kept, np.intp)
