"""Two stages: what is cut out, what comes back in the picture's pixels, and an account of both."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from photofinish.client.choosing.crops import CropChoice
from photofinish.client.pipeline.cropping import chosen_boxes, crop_corner_and_pixels, gathered
from photofinish.client.pipeline.metrics import ClientMetrics
from photofinish.client.pipeline.opening import StagedPipeline, open_pipeline
from photofinish.client.pipeline.part import PartCount
from photofinish.errors import ConfigError, InferenceError, ModelRepositoryError, RequestRejectedError
from photofinish.frame import Frame
from photofinish.keypoints.layout import FACE
from tests.builders import build_card, build_detections
from tests.client.fake_triton import FakeModel, FakeTriton, wait_for
from tests.client.pipeline.test_joint import failing
from tests.client.pipeline.test_pipelines import one_box, threads_left
from tests.client.triton.test_session import shared_memory_names

Infer = Callable[[Any], Any]
FIRST = "toy_onnx_fp32"
BOXES = [
    (0.0, 0.0, 32.0, 32.0, 0.9, 0),
    (34.2, 2.0, 63.8, 30.0, 0.8, 1),
    (4.0, 40.0, 60.0, 56.0, 0.7, 0),
    (50.0, 50.0, 54.0, 62.0, 0.6, 1),
]
"""Of a picture of 64 × 64, which the input shows as it is: two cars, two busses, of which the last is small."""


def boxes(inputs: Any) -> dict[str, npt.NDArray[np.float32]]:
    (frames,) = inputs.values()
    rows = np.zeros((len(frames), 300, 6), np.float32)
    rows[:, : len(BOXES)] = np.array(BOXES, np.float32)
    return {"detections": rows}


def colours(inputs: Any) -> dict[str, npt.NDArray[np.float32]]:
    """A classifier of one colour: the share of red, green and blue in the middle of each picture."""
    (frames,) = inputs.values()
    middle = frames[:, 32, 32].astype(np.float32)
    return {"scores": middle / middle.sum(axis=1, keepdims=True)}


def faces(inputs: Any) -> dict[str, npt.NDArray[np.float32]]:
    """One box in the middle of each picture, its points on its corners and centre; the score is the mean of green."""
    (frames,) = inputs.values()
    rows = np.zeros((len(frames), 300, 21), np.float32)
    points = [(16, 16, 1), (48, 16, 1), (32, 32, 1), (16, 48, 1), (48, 48, 0.5)]
    rows[:, 0, 6:] = np.array(points, np.float32).ravel()
    rows[:, 0, :6] = (16, 16, 48, 48, 0, 0)
    rows[:, 0, 4] = frames[..., 1].reshape(len(frames), -1).mean(axis=1) / 255
    return {"detections": rows}


def first(infer: Infer = boxes) -> FakeModel:
    return FakeModel(infer=infer)


def kinds(infer: Infer = colours, **changes: Any) -> FakeModel:
    card = build_card(
        variant="kinds_onnx_fp32",
        model="kinds",
        task="classify",
        head="scores",
        class_names=("red", "green", "blue"),
        **changes,
    )
    return FakeModel(name="kinds_onnx_fp32", card=card, infer=infer, outputs=(("scores", "FP32", (3,)),))


def landmarks(infer: Infer = faces, **changes: Any) -> FakeModel:
    """Its changes are the served model's."""
    card = build_card(
        variant="face_onnx_fp32", model="face", task="pose", class_names=("face",), keypoint_names=FACE.names
    )
    outputs = (("detections", "FP32", (300, 21)),)
    return FakeModel(name="face_onnx_fp32", card=card, infer=infer, outputs=outputs, **changes)


def picture() -> Frame:
    """Blue, with red where the first car is and green where the first bus is."""
    image = np.zeros((64, 64, 3), np.uint8)
    image[...] = (200, 20, 20)
    image[:32, :32] = (10, 10, 230)
    image[2:30, 34:64] = (10, 230, 10)
    return Frame(image_hwc_bgr=image, stream_id="test", index=0, captured_ns=0)


def test_a_classifier_names_each_box_and_its_crops_come_in_batches() -> None:
    said: list[str] = []
    with FakeTriton(first(), kinds(device="cuda")) as server:
        choices = [CropChoice(model="kinds", min_side=8, limit=2)]
        with open_pipeline(server.url, FIRST, crops=choices, on_notice=said.append) as pipeline:
            assert [model.name for model in pipeline.models] == [FIRST, "kinds_onnx_fp32"]
            result = pipeline.process(picture())
            assert len(server.regions) == 2
        sizes = [request.inputs[0].shape[0] for request in server.requests]
    assert sizes == [1, 2], "both crops in one request"
    one, two = result.parts
    np.testing.assert_array_equal(two.detections.boxes_xyxy, one.detections.boxes_xyxy[:2])
    assert [two.class_names[number] for number in two.detections.class_id] == ["red", "green"]
    np.testing.assert_allclose(two.detections.confidence, 0.92, atol=0.001)
    assert two.crops is not None
    assert (two.crops.looked_at.tolist(), two.crops.of.tolist()) == ([0, 1], [0, 1])
    assert (two.crops.too_small, two.crops.over_limit, two.crops.names_boxes) == (1, 1, True)
    assert result.box_count == 4, "a named box is no box more"
    assert result.service_ns >= result.prepare_ns + result.wire_ns + result.decode_ns + result.crops_ns > 0
    assert result.crops_ns >= two.took_ns > two.crops.prepare_ns > 0
    assert any(
        "kinds_onnx_fp32 looks at the boxes of toy (all classes), the best 2 of a picture at most, none with a side "
        "under 8 pixels" in line
        for line in said
    )
    wait_for(lambda: not threads_left())
    assert not shared_memory_names()


def test_boxes_and_points_come_back_in_the_picture_s_pixels() -> None:
    with FakeTriton(first(), landmarks()) as server:
        choices = [CropChoice(model="face_onnx_fp32", classes=("bus",), min_side=1)]
        with StagedPipeline(server.url, [FIRST], choices) as pipeline:
            (result,) = pipeline.run([picture()])
            counts = pipeline.counts
        assert [request.inputs[0].shape[0] for request in server.requests] == [1, 1, 1], "one at a time on a processor"
    part = result.parts[1]
    assert part.crops is not None
    assert (part.crops.looked_at.tolist(), part.crops.of.tolist()) == ([1, 3], [1, 3])
    # The whole pixels of the bus are 34..64 × 2..30: 30 × 28 in a square of 64, so 32/15 as large, 2 pixels of padding.
    # Of the small one 50..54 × 50..62, 16/3 as large, with 21 pixels of padding at the left.
    wanted = [[41.5, 8.56, 56.5, 23.56], [50, 53, 54, 59]]
    np.testing.assert_allclose(part.detections.boxes_xyxy, wanted, atol=0.06)
    assert part.detections.keypoints is not None
    np.testing.assert_allclose(part.detections.keypoints.xyv[0, 0], [41.5, 8.56, 1], atol=0.06)
    np.testing.assert_allclose(part.detections.keypoints.xyv[0, 4], [56.5, 23.56, 0.5], atol=0.06)
    assert part.detections.confidence[0] == pytest.approx((230 * 60 + 114 * 4) / 64 / 255, abs=0.02)
    assert result.box_count == 6
    assert counts.parts["face"] == PartCount(answered=1, crops=2)
    assert counts.parts["toy"] == PartCount(answered=1, last=1)


def test_a_margin_is_cut_out_too_and_taken_back() -> None:
    said: list[str] = []
    with FakeTriton(first(), landmarks()) as server:
        choices = [CropChoice(model="face_onnx_fp32", classes=("bus",), margin=0.2)]
        with open_pipeline(server.url, FIRST, crops=choices, on_notice=said.append) as pipeline:
            part = pipeline.process(picture()).parts[1]
    # 34.2..63.8 × 2..30 with a fifth more at each side is 28.28..64 × 0..35.6: in whole pixels 36 × 36 from (28, 0).
    np.testing.assert_allclose(part.detections.boxes_xyxy, [[37, 9, 55, 27]], atol=0.06)
    assert any("under 16 pixels, with a margin of 20% at each side" in line for line in said)


@pytest.mark.parametrize(
    ("batch", "most", "sizes"), [(None, 32, [1, 8, 3]), (4, 32, [1, 4, 4, 3]), (8, 2, [1] + [2] * 5 + [1])]
)
def test_a_batch_holds_what_was_asked_for_and_the_model_takes(batch: int | None, most: int, sizes: list[int]) -> None:
    def many(inputs: Any) -> Any:
        rows = np.zeros((1, 300, 6), np.float32)
        rows[:, :11] = (0, 0, 32, 32, 0.9, 0)
        return {"detections": rows}

    model = kinds(device="cuda")
    model.max_batch_size = most
    with FakeTriton(first(many), model) as server:
        choices = [CropChoice(model="kinds_onnx_fp32")]
        with StagedPipeline(server.url, [FIRST], choices, crop_batch=batch) as pipeline:
            result = pipeline.process(picture())
        assert [request.inputs[0].shape[0] for request in server.requests] == sizes
    np.testing.assert_allclose(result.parts[1].detections.confidence, np.full(11, 0.92), atol=0.001)


def test_beside_another_model_two_look_at_crops_at_once() -> None:
    meeting = threading.Barrier(2)  # breaks, and fails both, where one waits for the other

    def together(infer: Infer) -> Infer:
        def answer(inputs: Any) -> Any:
            meeting.wait(60)
            return infer(inputs)

        return answer

    pose = FakeModel(name="pose_onnx_fp32", card=build_card(variant="pose_onnx_fp32", model="pose"), infer=one_box)
    with FakeTriton(first(), pose, kinds(together(colours), device="cuda"), landmarks(together(faces))) as server:
        choices = [CropChoice(model="kinds", classes=("car",)), CropChoice(model="face", classes=("bus",))]
        with open_pipeline(server.url, FIRST, with_models=["pose"], crops=choices) as pipeline:
            results = list(pipeline.run([picture()] * 3))
    for result in results:
        assert [(part.name, part.problem) for part in result.parts] == [
            ("toy", ""),
            ("pose", ""),
            ("kinds", ""),
            ("face", ""),
        ]
        assert [len(part.detections) for part in result.parts] == [4, 1, 2, 1]


def test_without_a_box_to_look_at_nothing_is_asked() -> None:
    def nothing(inputs: Any) -> Any:
        return {"detections": np.zeros((1, 300, 6), np.float32)}

    with FakeTriton(first(nothing), landmarks()) as server:
        with open_pipeline(server.url, FIRST, crops=[CropChoice(model="face")]) as pipeline:
            result = pipeline.process(picture())
        assert len(server.requests) == 1
    part = result.parts[1]
    assert (part.outcome, part.was_asked, len(part.detections), part.took_ns) == ("answered", False, 0, part.decode_ns)
    assert part.detections.keypoints is not None
    assert part.detections.keypoints.xyv.shape == (0, 5, 3)


@pytest.mark.parametrize(("infer", "outcome"), [(failing, "failed"), (None, "late")])
def test_a_second_model_that_does_not_answer_leaves_the_boxes_and_says_why(infer: Infer | None, outcome: str) -> None:
    over = threading.Event()

    def stuck(inputs: Any) -> Any:
        over.wait(60)
        return colours(inputs)

    metrics = ClientMetrics()
    with FakeTriton(first(), kinds(infer or stuck)) as server:
        try:
            with open_pipeline(
                server.url, FIRST, crops=[CropChoice(model="kinds", limit=1)], timeout_s=1.0, metrics=metrics
            ) as pipeline:
                (result,) = pipeline.run([picture()])
                counts = pipeline.counts
                over.set()
        finally:
            over.set()
    assert len(result.detections) == 4
    part = result.parts[1]
    assert (part.outcome, len(part.detections), len(part.crops.looked_at if part.crops else ())) == (outcome, 0, 1)
    assert part.problem
    assert counts.parts["kinds"].missing == 1
    labels = {"variant": "kinds_onnx_fp32", "stream": "test"}
    told = metrics.registry.get_sample_value
    assert told("photofinish_part_frames_total", {**labels, "outcome": outcome}) == 1
    assert told("photofinish_part_crops_total", {**labels, "fate": "over_limit"}) == 2
    assert told("photofinish_part_crops_total", {**labels, "fate": "too_small"}) == 1


def test_all_batches_of_a_picture_share_one_time_limit() -> None:
    """Three requests of 0.5 s each are none too slow by themselves."""
    asked: list[int] = []

    def slow(inputs: Any) -> Any:
        asked.append(1)
        threading.Event().wait(0.5)
        return colours(inputs)

    model = kinds(slow)
    model.max_batch_size = 1
    with FakeTriton(first(), model) as server:
        choices = [CropChoice(model="kinds", min_side=1)]
        with open_pipeline(server.url, FIRST, crops=choices, timeout_s=1.2) as pipeline:
            result = pipeline.process(picture())
    assert result.parts[1].outcome == "late"
    assert len(asked) <= 3, "of four"


def test_where_the_first_model_fails_there_is_nothing_to_cut_out() -> None:
    pose = FakeModel(name="pose_onnx_fp32", card=build_card(variant="pose_onnx_fp32", model="pose"), infer=one_box)
    choices = [CropChoice(model="kinds")]
    with FakeTriton(first(failing), pose, kinds()) as server:
        with open_pipeline(server.url, FIRST, with_models=["pose"], crops=choices) as pipeline:
            result = pipeline.process(picture())
        with open_pipeline(server.url, FIRST, crops=choices) as pipeline:
            with pytest.raises(RequestRejectedError, match="toy_onnx_fp32 failed"):
                pipeline.process(picture())
            pipeline.close()  # type: ignore[attr-defined]  # of an InFlightPipeline
            with pytest.raises(InferenceError, match="closed"):
                pipeline.process(picture())
    assert [part.outcome for part in result.parts] == ["failed", "answered", "failed"]
    assert result.parts[2].problem == "toy gave no answer, so there was nothing to cut out"


def test_a_model_that_cannot_be_opened_gives_everything_back() -> None:
    wrong = landmarks()
    wrong.inputs = (("frames", "UINT8", (64, 64, 3)), ("size", "FP32", (2,)))
    with FakeTriton(first(), wrong) as server:
        with pytest.raises(ModelRepositoryError, match="face_onnx_fp32 must have one picture as input"):
            open_pipeline(server.url, FIRST, crops=[CropChoice(model="face")])
        with pytest.raises(ConfigError, match="toy has no class 'dog'"):
            open_pipeline(server.url, FIRST, crops=[CropChoice(model="face", classes=("dog",))])
        assert not server.regions
    assert not shared_memory_names()


def test_an_object_in_two_crops_is_told_once_and_two_in_one_crop_stay() -> None:
    """A face that the second person's box cuts in half overlaps the whole one by a third of their union."""
    whole = build_detections([(10, 10, 30, 40, 0.9, 0), (12, 10, 32, 40, 0.5, 0)])
    half = build_detections([(10, 30, 30, 40, 0.95, 1), (10, 25, 30, 40, 0.8, 0), (60, 60, 70, 70, 0.4, 0)])
    found, of = gathered([whole, half], np.array([4, 7], np.intp), None)
    np.testing.assert_allclose(found.confidence, [0.95, 0.9, 0.5, 0.4])
    assert (found.class_id.tolist(), of.tolist()) == ([1, 0, 0, 0], [7, 4, 4, 7])


def test_boxes_at_the_border_and_outside_are_at_least_a_pixel_and_margins_end_there() -> None:
    image = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    for box, margin, corner, shape in (
        ((-3.0, -1.0, 2.1, 9.0), 0.0, (0, 0), (6, 3)),
        ((7.9, 5.5, 20.0, 20.0), 0.0, (7, 5), (1, 1)),
        ((3.0, 3.0, 3.0, 3.0), 0.0, (3, 3), (1, 1)),
        ((2.0, 2.0, 6.0, 4.0), 0.25, (1, 1), (4, 6)),
        ((4.0, 1.0, 8.0, 6.0), 0.5, (2, 0), (6, 6)),
    ):
        found, pixels = crop_corner_and_pixels(image, np.array(box, np.float32), margin)
        assert (found, pixels.shape[:2]) == (corner, shape)
        np.testing.assert_array_equal(pixels, image[corner[1] :, corner[0] :][: shape[0], : shape[1]])
    nothing = chosen_boxes(build_detections([]), CropChoice(model="a"), ("car",))
    assert (len(nothing.numbers), nothing.too_small, nothing.over_limit) == (0, 0, 0)
