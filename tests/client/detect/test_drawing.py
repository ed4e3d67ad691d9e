from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from photofinish.client.detect.drawing import LEFT_BGR, RIGHT_BGR, class_colour_bgr, draw_detections, draw_parts
from photofinish.detections import Detections, empty_detections
from photofinish.keypoints.layout import COCO_POSE, Keypoints
from tests.builders import build_detections

GREY = np.full((720, 1280, 3), 114, np.uint8)


def test_nothing_found_changes_nothing():
    np.testing.assert_array_equal(draw_detections(GREY, empty_detections(), ("car",)), GREY)


def test_a_box_has_its_class_colour_and_the_original_is_left_alone():
    before = GREY.copy()
    drawn = draw_detections(GREY, build_detections([(200, 200, 500, 400, 0.9, 1)]), ("car", "bus"))
    np.testing.assert_array_equal(GREY, before)
    assert drawn[300, 200].tolist() == list(class_colour_bgr(1))
    assert drawn[300, 350].tolist() == [114, 114, 114]
    assert (drawn[:200] != 114).any()


@pytest.mark.parametrize("box", [(0, 0, 1280, 720), (-50, -50, 20, 20), (1270, 710, 1400, 800), (5, 5, 5, 5)], ids=str)
@pytest.mark.parametrize("size", [(720, 1280), (16, 16), (2160, 3840)], ids=str)
def test_boxes_at_the_edge_keep_their_label_inside(box, size):
    picture = np.zeros((*size, 3), np.uint8)
    drawn = draw_detections(picture, build_detections([(*box, 0.5, 0)]), ("person",))
    assert drawn.shape == picture.shape
    assert drawn.any()


def test_a_label_does_not_cover_a_small_box_at_the_top():
    drawn = draw_detections(GREY, build_detections([(600, 8, 640, 24, 0.5, 0)]), ("car",))
    assert (drawn[12:20, 606:634] == 114).all()


@pytest.mark.parametrize("name", ["街", "é", "\udce9"], ids=ascii)
def test_any_letters_can_be_in_a_name(name):
    drawn = draw_detections(GREY, build_detections([(10, 10, 90, 90, 0.5, 0)]), (name,))
    assert (drawn != GREY).any()


def test_a_class_without_a_name_is_numbered():
    draw_detections(GREY, build_detections([(10, 10, 90, 90, 0.5, 7)]), ("car",))


def test_colours_of_many_classes_differ():
    colours = {class_colour_bgr(index) for index in range(80)}
    assert len(colours) == 80
    first = np.array([class_colour_bgr(index) for index in range(8)], float)
    distances = np.abs(first[:, None] - first[None]).sum(axis=2) + 999 * np.eye(8)
    assert distances.min() > 80


def test_scale_can_be_given():
    small, large = (
        draw_detections(GREY, build_detections([(200, 200, 500, 400, 0.9, 0)]), ("car",), scale=scale)
        for scale in (0.5, 2)
    )
    assert (large != GREY).sum() > 2 * (small != GREY).sum()


def test_visible_keypoints_and_the_skeleton_between_them_are_drawn() -> None:
    xyv = np.zeros((1, 17, 3), np.float32)
    xyv[0, 5], xyv[0, 6], xyv[0, 7] = (40, 60, 1), (100, 60, 1), (40, 120, 0.1)
    found = Detections(
        boxes_xyxy=np.array([(20, 20, 140, 180)], np.float32),
        confidence=np.array([0.9], np.float32),
        class_id=np.array([0], np.int32),
        keypoints=Keypoints(xyv=xyv, layout=COCO_POSE),
    )
    black = np.zeros((200, 200, 3), np.uint8)
    drawn = draw_detections(black, found, ("person",), scale=1.0)
    assert tuple(drawn[60, 40]) == LEFT_BGR
    assert tuple(drawn[60, 100]) == RIGHT_BGR
    assert drawn[60, 70].any(), "the line between the shoulders"
    assert not drawn[115:125, 35:45].any(), "a point that is not seen"
    wild = replace(found, keypoints=Keypoints(xyv=xyv * np.float32(1e12), layout=COCO_POSE))
    draw_detections(black, wild, ("person",))


def test_two_models_on_one_object_have_colours_and_labels_of_their_own():
    box = (200, 200, 500, 400)
    first, other = build_detections([(*box, 0.9, 0)]), build_detections([(*box, 0.8, 0)])
    drawn = draw_parts(GREY, [(first, ("car", "bus")), (other, ("person",))])
    assert (GREY == GREY[0, 0]).all(), "the picture itself is left as it is"
    top, bottom = drawn[205 - 18 : 205 - 8, 201:206], drawn[408:418, 201:206]
    assert (top == class_colour_bgr(0)).all(axis=-1).any()
    assert (bottom == class_colour_bgr(2)).all(axis=-1).any(), "class 0 of the second has another colour, and its foot"
    at_the_edge = draw_parts(
        GREY, [(empty_detections(), ("car",)), (build_detections([(9, 9, 90, GREY.shape[0] - 1, 1, 0)]), ("a",))]
    )
    assert (at_the_edge[-18:, 10:14] == class_colour_bgr(1)).all(axis=-1).any(), "inside, where below is no room"


def test_a_box_that_a_classifier_names_is_drawn_once():
    """Its name stands at the foot, in colours of its own, and the box keeps the first model's."""
    found, named = build_detections([(200, 200, 500, 400, 0.9, 0)]), build_detections([(200, 200, 500, 400, 0.6, 1)])
    drawn = draw_parts(GREY, [(found, ("car",)), (named, ("van", "taxi"))], labels_only=[1])
    assert (drawn[300, 200] == class_colour_bgr(0)).all()
    assert (drawn[408:418, 201:206] == class_colour_bgr(2)).all(axis=-1).any()
    assert not (drawn[250:350, 150:550] == class_colour_bgr(2)).all(axis=-1).any()
