"""A user's own ONNX file, exported, served by a real Triton and asked through both pipelines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from photofinish.client.pipeline.opening import open_pipeline
from photofinish.export.build import stage_variants
from photofinish.export.publishing.publish import publish_variants
from photofinish.heads import detections_from_output
from photofinish.letterbox import letterbox_from_image
from photofinish.server.triton.embedded import EmbeddedServer
from tests.builders import build_card, build_frame
from tests.export.conftest import CHECKOUT, SIZE, SaveOnnx, raw_yolo


def test_every_variant_finds_the_files_own_boxes(save_raw_onnx: SaveOnnx, tmp_path: Path) -> None:
    raw = raw_yolo(anchors=250)
    staged = stage_variants(
        str(save_raw_onnx(raw, batch=1)),
        variants_path=CHECKOUT / "variants.toml",
        names=("onnx_fp32_tensor", "onnx_fp32", "onnx_fp16"),
        device="cpu",
        staging=tmp_path / "staging",
        on_progress=print,
    )
    publish_variants(staged, tmp_path / "repository")
    frame = build_frame(size_wh=(100, 80))
    letterbox = letterbox_from_image(frame.image_hwc_bgr, (SIZE, SIZE))
    card = build_card(head="yolo_raw", nms="client")
    expected = detections_from_output(raw, card, letterbox)
    assert len(expected) > 20
    with EmbeddedServer(tmp_path / "repository", on_progress=print) as server:
        for item in staged:
            with open_pipeline(server.endpoint.grpc_url, item.variant.name) as pipeline:
                found = pipeline.process(frame).detections
            assert len(found) == pytest.approx(len(expected), abs=2), item.variant.name
            np.testing.assert_allclose(found.confidence[:10], expected.confidence[:10], atol=5e-3)
            np.testing.assert_allclose(found.boxes_xyxy[:10], expected.boxes_xyxy[:10], atol=0.1)
