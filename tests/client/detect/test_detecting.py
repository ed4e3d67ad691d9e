from __future__ import annotations

import dataclasses
import tracemalloc

import cv2
import numpy as np
import pytest

from photofinish.client.detect.detecting import DetectSummary, detect_in_source
from photofinish.client.detect.naming import file_stem
from photofinish.client.detect.saving import video_writer
from photofinish.client.detect.telling import json_from_result, text_from_result
from photofinish.client.pipeline.frame_result import FrameCount, FrameResult
from photofinish.client.pipeline.opening import OptimisedPipeline, open_pipeline
from photofinish.client.sources.opening import open_source
from photofinish.detections import empty_detections
from photofinish.errors import ConfigError, ModelNotFoundError
from tests.builders import build_card, build_frame
from tests.client.fake_triton import FakeModel, FakeTriton
from tests.client.pipeline.test_pipelines import one_box, tensor_model

EVEN_WH, ODD_WH = (64, 48), (65, 49)


def frames_in(path):
    capture = cv2.VideoCapture(str(path))
    count = 0
    while capture.read()[0]:
        count += 1
    size = (int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)))
    capture.release()
    return count, size


@pytest.mark.parametrize("has_x264", [True, False], ids=["as found", "without libx264"])
@pytest.mark.parametrize("size_wh", [EVEN_WH, ODD_WH], ids=str)
def test_a_video_of_any_size_keeps_every_frame(tmp_path, monkeypatch, has_x264, size_wh):
    if not has_x264:
        monkeypatch.setattr("photofinish.client.detect.saving.av.codecs_available", {"mpeg4"})
    with video_writer(tmp_path / "out.mp4", size_wh, 12.5) as write:
        for index in range(9):
            write(np.full((size_wh[1], size_wh[0], 3), 20 * index, np.uint8))
        write(np.zeros((480, 100, 3), np.uint8))
    assert frames_in(tmp_path / "out.mp4") == (10, EVEN_WH)


@pytest.mark.parametrize("has_x264", [True, False], ids=["as found", "without libx264"])
def test_a_video_that_cannot_be_written_is_one_clear_error(tmp_path, monkeypatch, has_x264):
    if not has_x264:
        monkeypatch.setattr("photofinish.client.detect.saving.av.codecs_available", {"mpeg4"})
    picture = np.zeros((48, 64, 3), np.uint8)

    def save():
        with video_writer(tmp_path / "missing" / "out.mp4", EVEN_WH, 25) as write:
            for _ in range(200):
                write(picture)

    with pytest.raises(ConfigError, match=r"out\.mp4"):
        save()


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("clip.mp4", "clip"),
        ("rtsp://host:554/cam 1", "rtsp_host_554_cam_1"),
        ("camera 0", "camera_0"),
        ("synthetic-3", "synthetic-3"),
        ("///", "video"),
    ],
)
def test_file_names_come_from_any_source(name, stem):
    assert file_stem(name) == stem


def test_the_sentence_of_a_run_that_found_nothing():
    summary = DetectSummary(
        frame_count=0, box_count=0, seconds=0.5, p50_service_ns=0, p50_latency_ns=None, drops={}, saved_to=None
    )
    assert summary.sentence() == "0 frames, 0 boxes in 0.5 s"


def test_a_live_source_has_a_latency_and_drops():
    with FakeTriton(delay_s=0.05) as server, open_source("synthetic?width=96&height=64&fps=200", paced=True) as source:
        with OptimisedPipeline(server.url, "toy_onnx_fp32", drop_late=True) as pipeline:
            summary = detect_in_source(source, pipeline, frame_limit=40)
    assert summary.p50_latency_ns is not None
    assert summary.p50_latency_ns >= summary.p50_service_ns >= 50_000_000
    assert summary.dropped > 0
    assert "dropped" in summary.sentence()


def test_the_summary_of_a_run_without_end_stays_small():
    """101 bytes a frame are 260 MB a day at 30 frames a second."""
    frame = build_frame()
    pipeline = Endless(frame)
    with open_source("synthetic?width=96&height=64") as source:
        detect_in_source(source, pipeline, on_result=pipeline.count)
    held = pipeline.held_bytes
    assert held[-1] - held[0] < 20_000, held


class Endless:
    """A pipeline that gives one result over and over, and notes what the interpreter holds."""

    card = build_card()

    def __init__(self, frame):
        self.counts = FrameCount(due=0, done=0, dropped={})
        self.held_bytes = []
        self._result = FrameResult(
            frame=frame,
            detections=empty_detections(),
            begun_ns=0,
            finished_ns=10**6,
            prepare_ns=0,
            wire_ns=0,
            decode_ns=0,
        )
        self._counted = 0

    def run(self, frames):
        tracemalloc.start()
        try:
            for number in range(20_000):
                yield dataclasses.replace(self._result, finished_ns=10**6 + number)
        finally:
            tracemalloc.stop()

    def count(self, result, name):
        self._counted += 1
        if self._counted % 5000 == 0:
            self.held_bytes.append(tracemalloc.get_traced_memory()[0])


def test_lines_name_classes_the_model_does_not():
    with FakeTriton(FakeModel(infer=one_box)) as server, open_pipeline(server.url) as pipeline:
        with open_source("synthetic?width=96&height=64") as source:
            (result,) = (pipeline.process(frame) for frame in [next(source.frames())])
    assert text_from_result(result, "a", ()).startswith("a: class 1 0.")
    assert '"class": "class 1"' in json_from_result(result, "a", ())


def test_the_pipeline_follows_the_role():
    models = (FakeModel(), tensor_model(), FakeModel(name="other_onnx_fp32", card=build_card()))
    with FakeTriton(*models) as server:
        with open_pipeline(server.url) as pipeline:
            assert (type(pipeline).__name__, pipeline.model.name) == ("OptimisedPipeline", "other_onnx_fp32")
        with open_pipeline(server.url, "torch_fp32_tensor") as pipeline:
            assert type(pipeline).__name__ == "BaselinePipeline"
        with pytest.raises(ConfigError, match="give the full name"):
            open_pipeline(server.url, "onnx_fp32")
        server.models.clear()
        with pytest.raises(ModelNotFoundError, match="has no model"):
            open_pipeline(server.url)


def test_a_video_is_not_saved_over_itself(tmp_path):
    path = tmp_path / "clip.mp4"
    with video_writer(path, EVEN_WH, 25) as write:
        write(np.zeros((48, 64, 3), np.uint8))
    content = path.read_bytes()
    with (
        FakeTriton() as server,
        open_source(str(path)) as source,
        open_pipeline(server.url) as pipeline,
        pytest.raises(ConfigError, match="would write over the original; give another --save folder"),
    ):
        detect_in_source(source, pipeline, save_folder=tmp_path)
    assert path.read_bytes() == content
