from __future__ import annotations

import numpy as np
import pytest

from photofinish.detections import (
    Detections,
    detections_from_rows,
    empty_detections,
    iou_matrix,
    match_detections,
    match_partners,
    nms_indices,
)
from photofinish.letterbox import Letterbox
from tests.builders import build_detections

SQUARE = Letterbox(source_wh=(640, 640), target_wh=(640, 640))


def test_wrong_boxes_are_named() -> None:
    with pytest.raises(ValueError, match=r"boxes_xyxy must be float32 with shape \(2, 4\), got float64"):
        Detections(
            boxes_xyxy=np.zeros((2, 4)),  # type: ignore[arg-type]
            confidence=np.zeros(2, np.float32),
            class_id=np.zeros(2, np.int32),
        )


def test_rows_become_detections_best_first() -> None:
    rows = np.zeros((300, 6), dtype=np.float32)
    rows[0] = [10, 10, 20, 20, 0.3, 2]
    rows[1] = [30, 30, 60, 60, 0.9, 1]
    rows[2] = [30, 30, 60, 60, 0.2, 1]
    detections = detections_from_rows(rows, SQUARE)
    assert detections.confidence.tolist() == pytest.approx([0.9, 0.3])
    assert detections.class_id.tolist() == [1, 2]
    np.testing.assert_array_equal(detections.boxes_xyxy[0], [30, 30, 60, 60])


def test_padding_rows_never_count() -> None:
    rows = np.zeros((300, 6), dtype=np.float32)
    assert len(detections_from_rows(rows, SQUARE, min_confidence=0.0)) == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("column", range(6))
def test_rows_of_a_model_that_overflowed_never_count(value: float, column: int) -> None:
    rows = np.tile(np.array([10, 10, 20, 20, 0.9, 2], dtype=np.float32), (2, 1))
    rows[0, column] = value
    found = detections_from_rows(rows, SQUARE)
    assert len(found) == 1
    assert np.isfinite(found.boxes_xyxy).all()
    assert found.class_id.tolist() == [2]


def test_rows_of_a_wrong_width_are_named() -> None:
    with pytest.raises(ValueError, match=r"rows must have shape \(n, 6\)"):
        detections_from_rows(np.zeros((3, 5), dtype=np.float32), SQUARE)


def test_iou_of_known_boxes() -> None:
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30]], dtype=np.float32)
    np.testing.assert_allclose(iou_matrix(boxes, boxes), [[1, 1 / 3, 0], [1 / 3, 1, 0], [0, 0, 1]], atol=1e-6)


def test_iou_with_nothing_is_empty() -> None:
    boxes = np.zeros((2, 4), dtype=np.float32)
    assert iou_matrix(boxes, empty_detections().boxes_xyxy).shape == (2, 0)
    assert iou_matrix(boxes, boxes).max() == 0


def test_nms_keeps_the_best_of_a_class() -> None:
    detections = build_detections(
        [(0, 0, 10, 10, 0.6, 0), (0, 0, 10, 10, 0.9, 0), (0, 0, 10, 10, 0.5, 1), (50, 50, 60, 60, 0.4, 0)]
    )
    assert nms_indices(detections, 0.5).tolist() == [1, 2, 3]


def test_nms_agrees_with_torchvision() -> None:
    torch = pytest.importorskip("torch")
    ops = pytest.importorskip("torchvision.ops")
    rng = np.random.default_rng(5)
    corners = rng.uniform(0, 80, (200, 2))
    boxes = np.hstack([corners, corners + rng.uniform(5, 40, (200, 2))]).astype(np.float32)
    detections = Detections(
        boxes_xyxy=boxes,
        confidence=rng.permutation(200).astype(np.float32) / 200,
        class_id=rng.integers(0, 3, 200).astype(np.int32),
    )
    expected = ops.batched_nms(
        torch.from_numpy(boxes), torch.from_numpy(detections.confidence), torch.from_numpy(detections.class_id), 0.5
    )
    assert nms_indices(detections, 0.5).tolist() == expected.tolist()


def test_matching_uses_a_reference_box_once_and_respects_classes() -> None:
    reference = build_detections([(0, 0, 10, 10, 1, 0), (20, 20, 30, 30, 1, 1)])
    found = build_detections([(0, 0, 10, 9, 0.5, 0), (0, 0, 10, 10, 0.9, 0), (20, 20, 30, 30, 0.8, 0)])
    assert match_detections(found, reference).tolist() == [-1, 0, -1]


def test_matching_in_a_crowd_takes_the_largest_overlap_that_is_left() -> None:
    """Boxes on a coarse grid, so that overlaps and confidences are equal again and again."""
    rng = np.random.default_rng(3)

    def crowd(count: int) -> Detections:
        corners = rng.integers(0, 8, (count, 2)) * 10
        boxes = np.hstack([corners, corners + rng.integers(1, 9, (count, 2)) * 10])
        sure, label = rng.integers(0, 5, count) / 5, rng.integers(0, 2, count)
        return build_detections([(*box, *rest) for box, *rest in zip(boxes, sure, label, strict=True)])

    found, reference = crowd(120), crowd(150)
    overlaps = iou_matrix(found.boxes_xyxy, reference.boxes_xyxy)
    expected, left = [-1] * len(found), list(range(len(reference)))
    for index in sorted(range(len(found)), key=lambda item: -found.confidence[item]):
        same = [item for item in left if reference.class_id[item] == found.class_id[index]]
        best = max(same, key=lambda item: overlaps[index, item])
        if overlaps[index, best] >= 0.5:
            expected[index] = best
            left.remove(best)
    assert 0 < sum(match >= 0 for match in expected) < len(found)
    assert match_detections(found, reference).tolist() == expected


def test_a_shown_box_is_no_partner_of_a_faint_one_beside_the_strong_one() -> None:
    shown = build_detections([(0, 0, 100, 100, 0.92, 0), (200, 0, 300, 100, 0.3, 0)])
    other = build_detections(
        [(0, 0, 100, 90, 0.88, 0), (0, 0, 100, 99, 0.2, 0), (200, 0, 300, 99, 0.18, 0), (200, 0, 300, 90, 0.9, 1)]
    )
    assert match_detections(shown, other.select(other.class_id == 0)).tolist() == [1, 2]
    assert match_partners(shown, other).tolist() == [0, 2]
    assert match_partners(empty_detections(), other).tolist() == []
    assert match_partners(shown, empty_detections()).tolist() == [-1, -1]


def test_matching_with_nothing() -> None:
    some = build_detections([(0, 0, 10, 10, 1, 0)])
    assert match_detections(empty_detections(), some).tolist() == []
    assert match_detections(some, empty_detections()).tolist() == [-1]


def test_at_least_keeps_the_strong() -> None:
    some = build_detections([(0, 0, 10, 10, 0.9, 0), (0, 0, 10, 10, 0.1, 0)])
    assert len(some.at_least(0.5)) == 1
    assert len(empty_detections().at_least(0.5)) == 0
