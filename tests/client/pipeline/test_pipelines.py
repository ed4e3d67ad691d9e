from __future__ import annotations

import itertools
import threading
import time

import grpc
import numpy as np
import pytest

from photofinish.client.pipeline.opening import BaselinePipeline, OptimisedPipeline
from photofinish.errors import (
    InferenceError,
    ModelNotFoundError,
    RequestRejectedError,
    RequestTimeoutError,
    ServerUnavailableError,
    SourceError,
)
from tests.builders import build_card, build_frame
from tests.client.fake_triton import FakeModel, FakeTriton, wait_for
from tests.client.triton.test_session import shared_memory_names

PIPELINES = (BaselinePipeline, OptimisedPipeline)


def one_box(inputs):
    """One box in the middle of the letterboxed picture; its confidence is the mean of the picture."""
    (frames,) = inputs.values()
    rows = np.zeros((len(frames), 300, 6), np.float32)
    rows[:, 0] = (16, 16, 48, 48, 0, 1)
    rows[:, 0, 4] = frames.reshape(len(frames), -1).mean(axis=1) / (255 if frames.dtype == np.uint8 else 1)
    return {"detections": rows}


def tensor_model(**changes):
    values = {
        "name": "toy_torch_fp32_tensor",
        "card": build_card(variant="toy_torch_fp32_tensor", contract="tensor", role="baseline"),
        "inputs": (("images", "FP32", (3, 64, 64)),),
        "infer": one_box,
    }
    return FakeModel(**{**values, **changes})


def test_pictures_of_another_shape_than_a_rectangular_input_are_told_of_once():
    card = build_card(variant="toy_onnx_fp32_rect", input_wh=(64, 32))
    model = FakeModel(name="toy_onnx_fp32_rect", card=card, inputs=(("frames", "UINT8", (32, 64, 3)),))
    said: list[str] = []
    with FakeTriton(model) as server, OptimisedPipeline(server.url, model.name, on_notice=said.append) as pipeline:
        for size_wh in ((128, 64), (128, 96), (128, 96), (128, 64)):
            pipeline.process(build_frame(size_wh=size_wh))
    about_shape = [line for line in said if "choose a variant without _rect" in line]
    assert len(about_shape) == 1
    assert "takes 64 × 32, pictures of 128 × 96 become smaller" in about_shape[0]


def frames_of(count):
    return [build_frame(index=index, seed=index) for index in range(count)]


def flood(stop: threading.Event | None = None):
    """Frames faster than any server, until stopped."""
    for index in itertools.count():
        if stop is not None and stop.is_set():
            return
        yield build_frame(index=index)


def threads_left():
    ours = ("photofinish-reader", "photofinish-session", "photofinish-worker")
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(ours)]


@pytest.mark.parametrize("kind", PIPELINES)
def test_every_frame_comes_out_once_in_order_with_its_own_boxes(kind):
    frames = frames_of(20)
    with FakeTriton(FakeModel(infer=one_box)) as server, kind(server.url, "toy_onnx_fp32") as pipeline:
        results = list(pipeline.run(frames))
        counts = pipeline.counts
    assert [result.frame.index for result in results] == list(range(20))
    assert (counts.due, counts.done, counts.dropped) == (20, 20, {})
    for result in results:
        assert result.detections.class_id.tolist() == [1]
        assert result.detections.boxes_xyxy[0].tolist() == [16, 8, 48, 40]
        assert result.prepare_ns > 0
        assert result.wire_ns > 0
        assert result.decode_ns > 0
        assert result.service_ns >= result.prepare_ns + result.wire_ns + result.decode_ns
        assert result.latency_ns > result.service_ns


def test_both_contracts_send_the_same_pixels():
    frame = build_frame(seed=5)
    with FakeTriton(FakeModel(infer=one_box), tensor_model()) as server:
        found = []
        for kind, name in itertools.product(PIPELINES, server.models):
            with kind(server.url, name, min_confidence=0.01) as pipeline:
                found.append(pipeline.process(frame).detections.confidence[0])
    assert np.ptp(found) < 1e-4


def test_pictures_are_rgb():
    red = build_frame()
    red.image_hwc_bgr[:] = (0, 0, 255)
    seen = []

    def keep(inputs):
        seen.append(inputs)
        return one_box(inputs)

    with FakeTriton(FakeModel(infer=keep), tensor_model(infer=keep)) as server:
        for name in server.models:
            with BaselinePipeline(server.url, name) as pipeline:
                pipeline.process(red)
    assert seen[0]["frames"][0, 32, 32].tolist() == [255, 0, 0]
    assert seen[1]["images"][0, :, 32, 32].tolist() == [1, 0, 0]


@pytest.mark.parametrize("kind", PIPELINES)
def test_an_empty_source_gives_nothing(kind):
    with FakeTriton() as server, kind(server.url, "toy_onnx_fp32") as pipeline:
        assert list(pipeline.run([])) == []


@pytest.mark.parametrize("kind", PIPELINES)
def test_no_detections_at_all(kind):
    with FakeTriton() as server, kind(server.url, "toy_onnx_fp32") as pipeline:
        (result,) = pipeline.run(frames_of(1))
    assert len(result.detections) == 0


def test_the_number_in_flight_is_bounded():
    with FakeTriton(delay_s=0.2) as server, OptimisedPipeline(server.url, "toy_onnx_fp32", max_in_flight=3) as pipeline:
        run = pipeline.run(frames_of(12))
        next(run)
        assert len(server.requests) <= 4
        assert len(list(run)) == 11


@pytest.mark.parametrize(("device", "expected"), [("cpu", 1), ("cuda", 2)])
def test_the_number_in_flight_follows_the_device(device, expected):
    model = FakeModel(card=build_card(device=device))
    with FakeTriton(model) as server, OptimisedPipeline(server.url, model.name) as pipeline:
        assert pipeline.max_in_flight == expected


def test_late_frames_are_dropped_and_counted():
    stop = threading.Event()
    with FakeTriton(delay_s=0.05) as server:
        with OptimisedPipeline(server.url, "toy_onnx_fp32", drop_late=True) as pipeline:
            results = []
            for result in pipeline.run(flood(stop)):
                results.append(result)
                if len(results) == 10:
                    stop.set()
            counts = pipeline.counts
    indices = [result.frame.index for result in results]
    assert indices == sorted(set(indices))
    assert counts.done == len(results)
    assert counts.dropped["late"] > 10
    assert counts.due == counts.done + counts.dropped_total
    assert pipeline.dropped == counts.dropped_total


def test_frames_that_the_source_skipped_count_as_late():
    frames = [build_frame(index=index) for index in (0, 1, 5, 6)]
    with FakeTriton() as server, BaselinePipeline(server.url, "toy_onnx_fp32") as pipeline:
        list(pipeline.run(frames))
    assert pipeline.counts.due == 7
    assert pipeline.counts.dropped == {"late": 3}


def test_leaving_early_stops_everything():
    with FakeTriton() as server:
        with OptimisedPipeline(server.url, "toy_onnx_fp32") as pipeline:
            run = pipeline.run(flood())
            for _ in range(5):
                next(run)
            run.close()
            counts = pipeline.counts
            assert counts.done == 5
            assert counts.dropped["stopped"] >= 1
            assert counts.due == counts.done + counts.dropped_total
            assert len(list(pipeline.run(frames_of(3)))) == 3
        assert not server.regions
    wait_for(lambda: not threads_left())
    assert not shared_memory_names()


def collect(run, results, after_five=lambda: None):
    """Everything `run` gives, kept also when it raises; after_five is called once five are there."""
    for result in run:
        results.append(result)
        if len(results) == 5:
            after_five()


def failing_source(after):
    yield from frames_of(after)
    raise SourceError("the camera is gone")


@pytest.mark.parametrize("kind", PIPELINES)
def test_a_source_that_breaks_is_raised_after_its_frames(kind):
    with FakeTriton() as server, kind(server.url, "toy_onnx_fp32") as pipeline:
        results = []
        with pytest.raises(SourceError, match="the camera is gone"):
            collect(pipeline.run(failing_source(4)), results)
        assert len(results) == 4


FAILURES = {
    "request fails": (
        lambda server: setattr(server, "failure", (grpc.StatusCode.INTERNAL, "the model failed on purpose")),
        RequestRejectedError,
    ),
    "model deleted": (lambda server: server.models.clear(), ModelNotFoundError),
    "server killed": (lambda server: server.vanish(), ServerUnavailableError),
    "server hangs": (lambda server: setattr(server, "delay_s", 60), RequestTimeoutError),
}


@pytest.mark.parametrize("kind", PIPELINES)
@pytest.mark.parametrize("cause", FAILURES)
def test_a_failure_in_mid_stream_reaches_the_caller_in_time(kind, cause):
    break_it, expected = FAILURES[cause]
    with FakeTriton(FakeModel(infer=one_box)) as server:
        with kind(server.url, "toy_onnx_fp32", timeout_s=2) as pipeline:
            begun = time.monotonic()
            with pytest.raises(expected) as caught:
                collect(pipeline.run(flood()), [], after_five=lambda: break_it(server))
            assert time.monotonic() - begun < 15
            counts = pipeline.counts
            assert counts.dropped["error"] >= 1
            assert counts.due == counts.done + counts.dropped_total
        assert "\n" not in str(caught.value)
        assert time.monotonic() - begun < 20
    wait_for(lambda: not threads_left())
    assert not shared_memory_names()


def test_a_picture_that_cannot_be_prepared_reaches_the_caller(monkeypatch):
    def fail(*args, **keywords):
        raise RuntimeError("letterbox failed")

    monkeypatch.setattr("photofinish.client.triton.slot.write_input", fail)
    with FakeTriton() as server, OptimisedPipeline(server.url, "toy_onnx_fp32") as pipeline:
        with pytest.raises(RuntimeError, match="letterbox failed"):
            list(pipeline.run(flood()))
        assert pipeline.counts.due == pipeline.counts.dropped_total


@pytest.mark.parametrize("kind", PIPELINES)
def test_an_unknown_model_is_refused_when_opening(kind):
    with FakeTriton() as server, pytest.raises(ModelNotFoundError, match="ready there: toy_onnx_fp32"):
        kind(server.url, "nope")


def test_an_observer_hears_of_every_frame():
    class Ears:
        def __init__(self):
            self.done = 0
            self.dropped = []

        def on_result(self, result):
            self.done += 1

        def on_drop(self, stream_id, cause, count):
            self.dropped.append((stream_id, cause, count))

    ears = Ears()
    with FakeTriton() as server, OptimisedPipeline(server.url, "toy_onnx_fp32", observer=ears) as pipeline:
        with pytest.raises(SourceError):
            list(pipeline.run(failing_source(3)))
        list(pipeline.run([build_frame(index=9)]))
    assert ears.done == 4
    assert ears.dropped == [("test", "late", 6)]


@pytest.mark.parametrize("kind", [BaselinePipeline, OptimisedPipeline])
@pytest.mark.parametrize(
    "infer",
    [lambda inputs: {}, lambda inputs: {"detections": np.zeros((0, 300, 6), np.float32)}],
    ids=["none", "empty"],
)
def test_an_answer_without_the_output_is_one_clear_error(kind, infer):
    with (
        FakeTriton(FakeModel(infer=infer)) as server,
        kind(server.url, "toy_onnx_fp32") as pipeline,
        pytest.raises(InferenceError, match="answered with something else than toy_onnx_fp32's output"),
    ):
        pipeline.process(build_frame())
