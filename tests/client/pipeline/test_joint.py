"""Several models on one picture: one upload, requests side by side, and an account of who answered."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from photofinish.client.pipeline.frame_result import FrameResult
from photofinish.client.pipeline.joint import JointPipeline
from photofinish.client.pipeline.metrics import ClientMetrics
from photofinish.client.pipeline.opening import open_pipeline
from photofinish.client.pipeline.part import FramePart, PartCount
from photofinish.client.triton.transport import GRPC, SYSTEM_SHM
from photofinish.detections import empty_detections
from photofinish.errors import InferenceError, RequestRejectedError
from tests.builders import build_card, build_frame
from tests.client.fake_triton import FakeModel, FakeTriton, wait_for
from tests.client.pipeline.test_pipelines import frames_of, one_box, tensor_model, threads_left
from tests.client.triton.test_session import shared_memory_names

NAMES = ("toy_onnx_fp32", "second_onnx_fp32")
Infer = Callable[[Any], Any]


def second(infer: Infer = one_box, **changes: Any) -> FakeModel:
    card = build_card(variant="second_onnx_fp32", model="second", class_names=("cat", "dog"), **changes)
    height, width = card.input_wh[::-1]
    return FakeModel(name="second_onnx_fp32", card=card, infer=infer, inputs=(("frames", "UINT8", (height, width, 3)),))


def failing(inputs: Any) -> Any:
    raise RuntimeError("broken on purpose")


def test_one_upload_and_both_models_in_flight_together() -> None:
    meeting = threading.Barrier(2)  # breaks, and fails both, where one request waits for the other

    def together(inputs: Any) -> Any:
        meeting.wait(60)
        return one_box(inputs)

    with FakeTriton(FakeModel(infer=together), second(together)) as server:
        with JointPipeline(server.url, NAMES) as pipeline:
            assert pipeline.transport == SYSTEM_SHM
            results = list(pipeline.run(frames_of(6)))
            assert len(server.regions) == 1
            counts = pipeline.counts
        regions = {request.inputs[0].parameters["shared_memory_region"].string_param for request in server.requests}
        assert (len(regions), len(server.requests), server.regions) == (1, 12, {})
    assert [result.frame.index for result in results] == list(range(6))
    for result in results:
        assert [part.name for part in result.parts] == ["toy", "second"]
        assert [part.class_names[1] for part in result.parts] == ["bus", "dog"]
        first, other = result.parts
        assert result.detections is first.detections
        np.testing.assert_array_equal(first.detections.boxes_xyxy, other.detections.boxes_xyxy)
        assert result.box_count == 2
        assert result.service_ns >= result.prepare_ns + max(part.took_ns for part in result.parts)
    assert (counts.due, counts.done, counts.dropped_total) == (6, 6, 0)
    assert [count.answered for count in counts.parts.values()] == [6, 6]
    assert sum(count.last for count in counts.parts.values()) == 6
    wait_for(lambda: not threads_left())
    assert not shared_memory_names()


def test_without_shared_memory_it_travels_with_each_request_and_says_so() -> None:
    said: list[str] = []
    with FakeTriton(FakeModel(infer=one_box), second(), refuse_shared_memory=True) as server:
        with JointPipeline(server.url, NAMES, on_notice=said.append) as pipeline:
            result = pipeline.process(build_frame())
            assert pipeline.transport == GRPC
        sent = [request.raw_input_contents[0] for request in server.requests]
    assert sent[0] == sent[1]
    assert result.box_count == 2
    assert [line for line in said if "pictures go by grpc instead" in line]


def test_another_input_has_memory_of_its_own_and_that_is_told() -> None:
    said: list[str] = []
    textbook = build_card(variant="toy_torch_fp32_tensor", model="third", contract="tensor", role="baseline")
    models = (FakeModel(infer=one_box), second(input_wh=(64, 32)), tensor_model(card=textbook))
    with FakeTriton(*models) as server:
        with JointPipeline(server.url, [model.name for model in models], on_notice=said.append) as pipeline:
            result = pipeline.process(build_frame(size_wh=(128, 64), seed=3))
            assert len(server.regions) == 3
    assert [len(part.detections) for part in result.parts] == [1, 1, 1]
    told = [line for line in said if "prepared once more" in line]
    assert len(told) == 2
    assert (
        "second_onnx_fp32 takes another input than toy_onnx_fp32 (UINT8 [32, 64, 3], not UINT8 [64, 64, 3])" in told[0]
    )


@pytest.mark.parametrize("broken", [0, 1])
def test_a_model_that_fails_leaves_the_others_boxes_and_says_why(broken: int) -> None:
    infers = [one_box, one_box]
    infers[broken] = failing
    metrics = ClientMetrics()
    with FakeTriton(FakeModel(infer=infers[0]), second(infers[1])) as server:
        with open_pipeline(server.url, "toy_onnx_fp32", with_models=["second"], metrics=metrics) as pipeline:
            results = list(pipeline.run(frames_of(3)))
            counts = pipeline.counts
    bad, good = (("toy", "second"), ("second", "toy"))[broken]
    for result in results:
        parts = {part.name: part for part in result.parts}
        assert (len(parts[bad].detections), len(parts[good].detections)) == (0, 1)
        assert len(result.detections) == broken
        assert (parts[bad].outcome, parts[good].outcome) == ("failed", "answered")
        assert "broken on purpose" in parts[bad].problem
        assert parts[good].problem == ""
    assert (counts.done, counts.dropped_total) == (3, 0)
    assert (counts.parts[bad].failed, counts.parts[bad].missing, counts.parts[good].answered) == (3, 3, 3)
    labels = {"variant": f"{bad}_onnx_fp32", "stream": "test", "outcome": "failed"}
    assert metrics.registry.get_sample_value("photofinish_part_frames_total", labels) == 3


def test_a_model_that_gives_no_answer_in_time_is_late() -> None:
    over = threading.Event()

    def stuck(inputs: Any) -> Any:
        over.wait(60)
        return one_box(inputs)

    with FakeTriton(FakeModel(infer=one_box), second(stuck)) as server:
        try:
            with JointPipeline(server.url, NAMES, timeout_s=1.0) as pipeline:
                (result,) = pipeline.run(frames_of(1))
                counts = pipeline.counts
                over.set()
        finally:
            over.set()
    assert len(result.detections) == 1
    assert result.parts[1].outcome == "late"
    assert "before the deadline" in result.parts[1].problem
    assert counts.parts == {"toy": PartCount(answered=1), "second": PartCount(late=1, last=1)}


def test_where_all_fail_the_frame_fails() -> None:
    with FakeTriton(FakeModel(infer=failing), second(failing)) as server, JointPipeline(server.url, NAMES) as pipeline:
        with pytest.raises(RequestRejectedError, match="toy_onnx_fp32 failed at"):
            list(pipeline.run(frames_of(3)))
        counts = pipeline.counts
    assert (counts.done, counts.dropped_total, counts.parts) == (0, counts.due, {})


def test_a_closed_pipeline_says_so() -> None:
    with FakeTriton(FakeModel(), second()) as server:
        pipeline = JointPipeline(server.url, NAMES)
        pipeline.close()
        pipeline.close()
        with pytest.raises(InferenceError, match="closed"):
            pipeline.process(build_frame())


def test_a_part_without_an_answer_says_why() -> None:
    values: dict[str, Any] = {"name": "a", "variant": "a", "class_names": (), "detections": empty_detections()}
    with pytest.raises(ValueError, match="has a problem exactly where"):
        FramePart(**values, wire_ns=1, decode_ns=0, outcome="late")


def test_one_model_alone_has_no_parts() -> None:
    with FakeTriton() as server, open_pipeline(server.url) as pipeline:
        results: list[FrameResult] = list(pipeline.run(frames_of(2)))
        assert pipeline.counts.parts == {}
    assert [result.parts for result in results] == [(), ()]
