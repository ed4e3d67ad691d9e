"""Whether two programs find the same boxes."""

from __future__ import annotations

import numpy as np
import pytest

from photofinish.detections import Detections
from photofinish.perf.rivals.agreement import agreement_of, detections_from_rows

CAR, DOG = 2.0, 16.0


def found(*rows: tuple[float, ...]) -> tuple[Detections, ...]:
    return (detections_from_rows(rows),)


def test_the_same_boxes_agree() -> None:
    boxes = found((0, 0, 10, 10, 0.9, CAR), (20, 20, 40, 40, 0.5, DOG))
    figures = agreement_of(boxes, boxes, against="optimised")
    assert figures == {"against": "optimised", "frames": 1, "boxes": 2, "other_boxes": 2, "matched": 2, "mean_iou": 1.0}


@pytest.mark.parametrize(
    ("theirs", "ours", "matched"),
    [
        ((0, 0, 10, 10, 0.9, CAR), (0, 0, 10, 10, 0.16, CAR), 1),  # a partner may be weaker than what is shown
        ((0, 0, 10, 10, 0.9, CAR), (0, 0, 10, 10, 0.14, CAR), 0),
        ((0, 0, 10, 10, 0.9, CAR), (0, 0, 10, 10, 0.9, DOG), 0),
        ((0, 0, 10, 10, 0.9, CAR), (6, 0, 16, 10, 0.9, CAR), 0),
    ],
)
def test_a_partner_has_the_same_class_and_place(
    theirs: tuple[float, ...], ours: tuple[float, ...], matched: int
) -> None:
    assert agreement_of(found(theirs), found(ours), against="optimised")["matched"] == matched


def test_nothing_found_agrees_with_nothing_found() -> None:
    figures = agreement_of(found(), found(), against="optimised")
    assert (figures["boxes"], figures["matched"], figures["mean_iou"]) == (0, 0, None)
    assert detections_from_rows([]).boxes_xyxy.dtype == np.float32
