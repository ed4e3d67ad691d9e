"""Poses and faces: what the original runtimes find in two photos is found by every variant of a CPU, when served."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from photofinish.client.choosing.crops import CropChoice
from photofinish.client.detect.telling import json_from_result
from photofinish.client.pipeline.opening import open_pipeline
from photofinish.detections import Detections, diagonals, iou_matrix
from photofinish.export.build import stage_variants
from photofinish.export.graph.parity import reference_picture_paths
from photofinish.export.graph.session import output_from_onnx
from photofinish.export.publishing.publish import publish_variants
from photofinish.frame import Frame
from photofinish.letterbox import letterboxed_from_image
from photofinish.server.triton.embedded import EmbeddedServer
from tests.conftest import CHECKOUT

MODELS = {
    "yunet_n_640_640.onnx": ("onnx_fp32_tensor", "onnx_fp16", "openvino_fp32"),
    "yolov5n-0.5-face.onnx": ("onnx_fp32_tensor", "onnx_fp16", "openvino_fp32"),
    "yolov8n_pose_coco_rebuilt.pt": ("torch_fp32_tensor", "onnx_fp16", "openvino_fp32"),
}
MAX_POINT_ERRORS = {"fp32": 0.01, "fp16": 0.02}
"""Of the box's diagonal."""


def frame_of(path: Path) -> Frame:
    image = cv2.imread(str(path))
    assert image is not None
    return Frame(image_hwc_bgr=image.astype(np.uint8), stream_id="photo", index=0, captured_ns=0)


def wanted_score(weights: str, score: float) -> float:
    """OpenCV tells the square root of YuNet's own score."""
    return score**2 if weights.startswith("yunet") else score


def assert_same(
    found: Detections, reference: list[dict[str, Any]], weights: str, max_error: float, size_wh: tuple[int, int]
) -> None:
    """Each reference detection has its partner, with the same box, score and visible points; there are no others."""
    assert found.keypoints is not None
    assert len(found) == len(reference)
    told = np.array([item["box"] for item in reference], np.float32)
    boxes = np.clip(told, 0, np.array([*size_wh, *size_wh], np.float32))  # the original runtime does not clip
    overlaps = iou_matrix(boxes, found.boxes_xyxy)
    for number, item in enumerate(reference):
        partner = int(overlaps[number].argmax())
        assert overlaps[number, partner] >= 0.95
        assert found.confidence[partner] == pytest.approx(wanted_score(weights, item["score"]), abs=0.03)
        points = np.array(item["points"], np.float32)
        seen = points[:, 2] >= 0.5 if points.shape[1] == 3 else np.ones(len(points), np.bool_)
        errors = np.linalg.norm(found.keypoints.xyv[partner, :, :2] - points[:, :2], axis=1)[seen]
        assert errors.max() <= max_error * diagonals(boxes)[number]
        assert (found.keypoints.xyv[partner, seen, 2] >= 0.4).all()


def crop_of(frame: Frame, box_xyxy: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], Frame]:
    """Left and top of the whole pixels that a box touches, and these as a frame of their own."""
    left, top, right, bottom = (*np.floor(box_xyxy[:2]).astype(int), *np.ceil(box_xyxy[2:]).astype(int))
    pixels = np.ascontiguousarray(frame.image_hwc_bgr[top:bottom, left:right])
    return np.array([left, top], np.float32), dataclasses.replace(frame, image_hwc_bgr=pixels)


def assert_crops_are_looked_at_like_pictures(
    url: str, persons: str, faces: str, kinds: str, kinds_onnx: Path, photos: dict[str, Frame]
) -> None:
    """Faces within persons are those that the face model finds in the crop alone, and the classes of persons those that
    ONNX Runtime gives for it."""
    choices = [CropChoice(model=faces, classes=("person",)), CropChoice(model=kinds)]
    with (
        open_pipeline(url, persons, crops=choices, timeout_s=60) as staged,
        open_pipeline(url, faces) as alone,
    ):
        for frame in photos.values():
            first, found, named = staged.process(frame).parts
            assert (found.problem, named.problem) == ("", "")
            assert found.crops is not None
            assert found.crops.looked_at.tolist() == list(range(len(first.detections)))
            assert set(found.crops.of.tolist()) >= {0, 1}, "both photos show the faces of their two best persons"
            for number, box in enumerate(first.detections.boxes_xyxy):
                corner, crop = crop_of(frame, box)
                direct = alone.process(crop).detections
                mine = found.detections.select(np.flatnonzero(found.crops.of == number))
                assert len(mine) <= len(direct), "a face in two boxes is told once"
                assert mine.keypoints is not None
                for place, score in enumerate(mine.confidence):
                    partner = int(np.abs(direct.confidence - score).argmin())
                    assert direct.confidence[partner] == pytest.approx(score, abs=1e-3)
                    np.testing.assert_allclose(
                        mine.boxes_xyxy[place], direct.boxes_xyxy[partner] + np.tile(corner, 2), atol=0.05
                    )
                    assert direct.keypoints is not None
                    points = direct.keypoints.xyv[partner, :, :2] + corner
                    np.testing.assert_allclose(mine.keypoints.xyv[place, :, :2], points, atol=0.05)
                pixels, _ = letterboxed_from_image(crop.image_hwc_bgr, (64, 64), swap_channels=True)
                scores = output_from_onnx(kinds_onnx, pixels[None])[0]
                assert named.detections.class_id[number] == scores.argmax()
                assert named.detections.confidence[number] == pytest.approx(scores.max(), abs=1e-5)


def test_every_variant_finds_what_the_original_runtime_finds(test_data: Path, tmp_path: Path) -> None:
    references = json.loads((test_data / "weights" / "reference_points.json").read_text())["models"]
    staged = {}
    for weights, names in MODELS.items():
        staged[weights] = stage_variants(
            str(test_data / "weights" / weights),
            variants_path=CHECKOUT / "variants.toml",
            names=names,
            device="cpu",
            staging=tmp_path / "staging",
            on_progress=print,
        )
        publish_variants(staged[weights], tmp_path / "repository")
    (kinds,) = stage_variants(
        "torchvision:resnet18",
        variants_path=CHECKOUT / "variants.toml",
        names=("onnx_fp32",),
        device="cpu",
        input_size=64,
        staging=tmp_path / "staging",
        on_progress=print,
    )
    publish_variants([kinds], tmp_path / "repository")
    photos = {path.name: frame_of(path) for path in reference_picture_paths()}
    with EmbeddedServer(tmp_path / "repository", on_progress=print) as server:
        for weights, items in staged.items():
            least = 0.36 if weights.startswith("yunet") else 0.25
            for item in items:
                with open_pipeline(server.endpoint.grpc_url, item.variant.name, min_confidence=least) as pipeline:
                    assert pipeline.card.task == "pose"
                    results = {name: pipeline.process(frame) for name, frame in photos.items()}
                for name, result in results.items():
                    max_error = MAX_POINT_ERRORS[item.variant.precision]
                    size_wh = photos[name].size_wh
                    assert_same(result.detections, references[weights][name], weights, max_error, size_wh)
        poses, faces = "yolov8n_pose_coco_rebuilt_openvino_fp32", "yunet_n_640_640_openvino_fp32"
        with open_pipeline(server.endpoint.grpc_url, poses, with_models=[faces], timeout_s=60) as pipeline:
            for name, frame in photos.items():
                joint = pipeline.process(frame)
                assert [part.problem for part in joint.parts] == ["", ""]
                assert_same(joint.detections, references["yolov8n_pose_coco_rebuilt.pt"][name], "", 0.01, frame.size_wh)
                found = joint.parts[1].detections.at_least(0.36)
                assert_same(found, references["yunet_n_640_640.onnx"][name], "yunet", 0.01, frame.size_wh)
        assert_crops_are_looked_at_like_pictures(
            server.endpoint.grpc_url, poses, faces, kinds.variant.name, kinds.directory / "1" / "model.onnx", photos
        )
    line = json.loads(json_from_result(results["zidane.jpg"], "zidane.jpg", ("person",)))
    x, y, visibility = line["detections"][0]["keypoints"]["nose"]
    assert (x, y) == (pytest.approx(998.8, abs=4), pytest.approx(197.6, abs=4))
    assert visibility > 0.9
