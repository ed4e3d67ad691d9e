"""One picture through both sides: what is told of a real photo, and what counts as a difference."""

from __future__ import annotations

import base64
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from photofinish.client.ui.page.split_view import Choice
from photofinish.client.ui.picture.trying import SHOWN_SIDE, TwoSides, difference_between, shown_of
from photofinish.detections import Detections, empty_detections
from photofinish.errors import InferenceError, PhotofinishError
from photofinish.pictures import image_from_file
from tests.builders import build_detections
from tests.client.fake_triton import FakeTriton
from tests.client.ui.served import BASELINE, BASELINE_S, OPTIMISED, OPTIMISED_S, toy_models
from tests.conftest import ServedCoco

NAMES = ("car", "bus")


def view_of(url: str, baseline: str = BASELINE, optimised: str = OPTIMISED) -> Any:
    return SimpleNamespace(url=url, choice=Choice(source="synthetic", baseline=baseline, optimised=optimised))


def test_a_real_photo_has_the_right_boxes_on_both_sides(served_coco: ServedCoco) -> None:
    from ultralytics.utils import ASSETS

    sides = TwoSides(view_of(served_coco.url, served_coco.names["torch_fp32_tensor"], served_coco.names["onnx_fp32"]))
    try:
        told = sides.document(image_from_file(ASSETS / "bus.jpg"))
    finally:
        sides.close()
    assert told["size_wh"] == [810, 1080]
    for side in told["sides"].values():
        assert sorted(box["name"] for box in side["boxes"]) == ["bus", *["person"] * 4]
        content = base64.b64decode(side["picture"].removeprefix("data:image/jpeg;base64,"))
        assert cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR).shape == (1080, 810, 3)
    assert told["difference"]["both"] == 5
    assert told["difference"]["only"] == {"baseline": [], "optimised": []}
    assert told["difference"]["pixels"] < 5


def test_a_large_picture_comes_back_smaller_with_boxes_in_its_own_pixels() -> None:
    with FakeTriton(*toy_models()) as server:
        sides = TwoSides(view_of(server.url))
        told = sides.document(np.zeros((2000, 4000, 3), np.uint8))
        sides.close()
    one = told["sides"]["optimised"]
    content = base64.b64decode(one["picture"].removeprefix("data:image/jpeg;base64,"))
    assert cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR).shape == (640, SHOWN_SIDE, 3)
    assert one["boxes"][0]["box"] == [625, 250, 2500, 1750]
    assert told["sides"]["baseline"]["ms"] >= 1000 * BASELINE_S
    assert one["ms"] >= 1000 * OPTIMISED_S


def test_a_server_that_was_started_again_and_another_choice_are_followed() -> None:
    view = view_of("")
    sides = TwoSides(view)
    picture = np.zeros((64, 64, 3), np.uint8)
    with FakeTriton(*toy_models()) as server:
        view.url = server.url
        assert sides.document(picture)["sides"]["optimised"]["variant"] == OPTIMISED
        view.choice = Choice(source="synthetic", baseline=OPTIMISED, optimised=OPTIMISED)
        assert sides.document(picture)["sides"]["baseline"]["variant"] == OPTIMISED
    with FakeTriton(*toy_models()) as server:
        view.url = server.url
        assert sides.document(picture)["sides"]["baseline"]["variant"] == OPTIMISED
    with pytest.raises(PhotofinishError):
        sides.document(picture)
    sides.close()
    with pytest.raises(InferenceError, match="closing"):
        sides.document(picture)


def found_of(left: Detections, right: Detections) -> Any:
    return difference_between({"baseline": left, "optimised": right}, NAMES)


def test_what_differs() -> None:
    left = build_detections([(0, 0, 10, 10, 0.9, 0), (50, 50, 90, 90, 0.5, 1), (200, 0, 220, 20, 0.27, 0)])
    right = build_detections([(0, 1, 10, 12, 0.8, 0), (50, 50, 90, 90, 0.5, 0), (200, 0, 220, 20, 0.2, 0)])
    found = found_of(left, right)
    assert found.both == 2, "the last one is a little weaker than what is shown, and found all the same"
    assert found.only == {"baseline": [("bus", 0.5)], "optimised": [("car", 0.5)]}
    assert (found.confidence, found.pixels) == (pytest.approx(0.1), 2)
    shown = shown_of({"baseline": left, "optimised": right})
    listed = {side: boxes.confidence.tolist() for side, boxes in shown.items()}
    assert listed["baseline"] == pytest.approx([0.9, 0.5, 0.27])
    assert listed["optimised"] == pytest.approx([0.8, 0.5, 0.2]), "as many as are said to be found by both"
    nothing = found_of(empty_detections(), empty_detections())
    assert (nothing.both, nothing.only) == (0, {"baseline": [], "optimised": []})
