"""Both pipelines through the real server against Ultralytics itself, on Ultralytics' own pictures."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from photofinish.client.pipeline.opening import BaselinePipeline, OptimisedPipeline
from photofinish.client.triton.transport import GRPC, SYSTEM_SHM, SYSTEM_SHM_HTTP
from photofinish.detections import Detections, iou_matrix
from photofinish.frame import Frame
from photofinish.letterbox import letterboxed_from_image
from photofinish.pictures import image_from_file
from tests.conftest import COCO_SUFFIXES, ServedCoco

PICTURES = {"bus.jpg": ["bus", "person", "person", "person", "person"], "zidane.jpg": ["person", "person", "tie"]}
TOLERANCE = {"fp32": 0.01, "fp16": 0.02}
MIN_IOU = 0.95
TIMEOUT_S = 60.0
"""A first request on a busy machine takes its time."""


@pytest.fixture(scope="session")
def reference(test_data: Path) -> dict[str, Detections]:
    """What Ultralytics finds on the letterboxed picture, mapped to the original picture."""
    from ultralytics import YOLO
    from ultralytics.utils import ASSETS

    model = YOLO(test_data / "weights" / "yolo26n_coco_rebuilt.pt", verbose=False)
    found = {}
    for name in PICTURES:
        square, letterbox = letterboxed_from_image(image_from_file(ASSETS / name), (640, 640))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            boxes = model.predict(square, conf=0.25, imgsz=640, device="cpu", verbose=False)[0].boxes.cpu().numpy()
        found[name] = Detections(
            boxes_xyxy=letterbox.boxes_to_source(boxes.xyxy.astype(np.float32)),
            confidence=boxes.conf.astype(np.float32),
            class_id=boxes.cls.astype(np.int32),
        )
    return found


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.parametrize("suffix", COCO_SUFFIXES)
def test_every_variant_finds_what_ultralytics_finds(
    served_coco: ServedCoco, reference: dict[str, Detections], suffix: str, picture: str
) -> None:
    from ultralytics.utils import ASSETS

    frame = Frame(image_hwc_bgr=image_from_file(ASSETS / picture), stream_id=picture, index=0, captured_ns=0)
    expected = reference[picture]
    for kind in (BaselinePipeline, OptimisedPipeline):
        with kind(served_coco.url, served_coco.names[suffix], timeout_s=TIMEOUT_S) as pipeline:
            found = pipeline.process(frame).detections
            names = sorted(pipeline.card.class_names[index] for index in found.class_id)
            tolerance = TOLERANCE[pipeline.card.precision]
        assert names == PICTURES[picture]
        overlaps = iou_matrix(found.boxes_xyxy, expected.boxes_xyxy)
        partner = overlaps.argmax(axis=1)
        assert sorted(partner) == list(range(len(expected)))
        assert overlaps.max(axis=1).min() >= MIN_IOU
        assert found.class_id.tolist() == expected.class_id[partner].tolist()
        np.testing.assert_allclose(found.confidence, expected.confidence[partner], atol=tolerance)


def test_shared_memory_and_grpc_give_the_same(served_coco: ServedCoco) -> None:
    from ultralytics.utils import ASSETS

    frame = Frame(image_hwc_bgr=image_from_file(ASSETS / "bus.jpg"), stream_id="bus", index=0, captured_ns=0)
    found = []
    for transport in (GRPC, SYSTEM_SHM, SYSTEM_SHM_HTTP):
        with OptimisedPipeline(
            served_coco.url, served_coco.names["onnx_fp32"], transport=transport, timeout_s=TIMEOUT_S
        ) as pipeline:
            found.append(pipeline.process(frame).detections)
    assert len(found[0]) == len(PICTURES["bus.jpg"])
    np.testing.assert_array_equal(found[0].boxes_xyxy, found[1].boxes_xyxy)
    np.testing.assert_array_equal(found[0].boxes_xyxy, found[2].boxes_xyxy)


def test_auto_takes_shared_memory_of_the_embedded_server(served_coco: ServedCoco) -> None:
    with OptimisedPipeline(served_coco.url, served_coco.names["onnx_fp16"]) as pipeline:
        assert pipeline.transport == SYSTEM_SHM_HTTP
