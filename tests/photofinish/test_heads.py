from __future__ import annotations

import numpy as np
import pytest

from photofinish.errors import ConfigError
from photofinish.heads import detections_from_output, rows_from_head
from photofinish.letterbox import Letterbox
from tests.builders import build_card

PLAIN = Letterbox(source_wh=(64, 64), target_wh=(64, 64))
BOXES = [  # centre x, centre y, width, height, scores of two classes
    (20, 20, 10, 10, 0.1, 0.9),
    (21, 20, 10, 10, 0.0, 0.8),
    (21, 20, 10, 10, 0.7, 0.0),
    (50, 50, 4, 6, 0.3, 0.2),
    (30, 30, 4, 4, 0.1, 0.1),
]


def raw(boxes=BOXES):
    return np.array(boxes, np.float32).T


def with_objectness(boxes=BOXES):
    table = np.array(boxes, np.float32).reshape(-1, 6)
    return np.concatenate([table[:, :4], np.full((len(table), 1), 1, np.float32), table[:, 4:]], axis=1)


@pytest.mark.parametrize(("head", "output"), [("yolo_raw", raw()), ("yolo_raw_objectness", with_objectness())])
def test_raw_heads_give_the_best_class_of_each_anchor(head, output):
    rows = rows_from_head(output, head)
    assert rows[:, 5].tolist() == [1, 1, 0, 0]
    np.testing.assert_allclose(rows[:, 4], [0.9, 0.8, 0.7, 0.3], rtol=1e-6)
    assert rows[0, :4].tolist() == [15, 15, 25, 25]
    assert rows[3, :4].tolist() == [48, 47, 52, 53]


@pytest.mark.parametrize(("head", "output"), [("yolo_raw", raw()), ("yolo_raw_objectness", with_objectness())])
def test_nms_removes_the_weaker_box_of_the_same_class_only(head, output):
    found = detections_from_output(output, build_card(head=head, nms="client"), PLAIN)
    np.testing.assert_allclose(found.confidence, [0.9, 0.7, 0.3], rtol=1e-6)


def test_objectness_multiplies():
    output = with_objectness(BOXES[:1])
    output[0, 4] = 0.5
    assert rows_from_head(output, "yolo_raw_objectness")[0, 4] == pytest.approx(0.45)


@pytest.mark.parametrize(
    ("head", "output"),
    [
        ("yolo_raw", np.zeros((6, 8), np.float32)),
        ("yolo_raw", np.zeros((6, 0), np.float32)),
        ("yolo_raw_objectness", np.zeros((8, 7), np.float32)),
        ("rows", np.zeros((300, 6), np.float32)),
    ],
)
def test_nothing_found(head, output):
    assert len(detections_from_output(output, build_card(head=head, nms="client"), PLAIN)) == 0


def test_rows_pass_through():
    rows = np.zeros((300, 6), np.float32)
    rows[0] = (1, 2, 3, 4, 0.5, 1)
    found = detections_from_output(rows, build_card(), PLAIN)
    assert found.boxes_xyxy.tolist() == [[1, 2, 3, 4]]


@pytest.mark.parametrize("scores", [[0.1, 0.9], [1.0, 3.197225]], ids=["probabilities", "logits"])
def test_a_classifier_gives_the_whole_picture(scores):
    found = detections_from_output(np.array(scores, np.float32), build_card(head="scores"), PLAIN)
    assert found.boxes_xyxy.tolist() == [[0, 0, 64, 64]]
    assert found.class_id.tolist() == [1]
    assert found.confidence[0] == pytest.approx(0.9, abs=1e-6)


@pytest.mark.parametrize("head", ["rows", "yolo_raw", "yolo_raw_objectness", "banana"])
def test_a_shape_or_head_that_does_not_fit_is_named(head):
    with pytest.raises(ConfigError, match=r"\(3,\)|banana"):
        rows_from_head(np.zeros(3, np.float32), head)


@pytest.mark.parametrize("seed", range(3))
def test_raw_head_and_nms_agree_with_ultralytics(seed):
    nms = pytest.importorskip("ultralytics.utils.nms")
    import torch

    random = np.random.default_rng(seed)
    anchors, classes = 600, 5
    clusters = random.uniform(60, 580, (25, 2))
    output = np.empty((4 + classes, anchors), np.float32)
    output[:2] = (clusters[random.integers(0, 25, anchors)] + random.normal(0, 6, (anchors, 2))).T
    output[2:4] = random.uniform(40, 70, (2, anchors))
    output[4:] = random.uniform(0, 1, (classes, anchors)) ** 3
    (expected,) = nms.non_max_suppression(torch.from_numpy(output[None]), conf_thres=0.25, iou_thres=0.7)
    plain = Letterbox(source_wh=(640, 640), target_wh=(640, 640))
    found = detections_from_output(output, build_card(head="yolo_raw", nms="client"), plain)
    assert len(found) == len(expected) == 300
    np.testing.assert_allclose(found.confidence, expected[:, 4].numpy(), rtol=1e-6)
    np.testing.assert_array_equal(found.class_id, expected[:, 5].numpy().astype(int))
    np.testing.assert_allclose(found.boxes_xyxy, expected[:, :4].numpy().clip(0, 640), atol=1e-3)
