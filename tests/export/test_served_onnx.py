"""A user's own ONNX file, and weights with a user's words, exported, served by a real Triton and asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from photofinish.client.pipeline.opening import open_pipeline
from photofinish.export.build import StagedVariant, stage_variants
from photofinish.export.loading.told import Told
from photofinish.export.loading.vocabulary.words import words_from_options
from photofinish.export.publishing.publish import publish_variants
from photofinish.heads import detections_from_output
from photofinish.letterbox import images_nchw_from_frames, letterbox_from_image, letterboxed_from_image
from photofinish.server.triton.embedded import EmbeddedServer
from tests.builders import build_card, build_frame
from tests.export.conftest import CHECKOUT, SIZE, SaveOnnx, raw_yolo
from tests.export.open_vocabulary import answers, random_vectors, save, save_embeddings, untrained

YOLOE = "yoloe-11n-seg.yaml"


def staged_words(folder: Path) -> tuple[StagedVariant, ...]:
    """Open-vocabulary weights fused with two of three words."""
    words = words_from_options("yoloe.pt", "red car, helmet", save_embeddings(folder / "words.npz"), None)
    return stage_variants(
        str(save(folder / "yoloe.pt", untrained(YOLOE))),
        variants_path=CHECKOUT / "variants.toml",
        names=("onnx_fp32",),
        device="cpu",
        input_size=SIZE,
        staging=folder / "staging",
        on_progress=print,
        told=Told(words=words),
    )


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
    (worded,) = publish_variants(staged_words(tmp_path), tmp_path / "repository")
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
        with open_pipeline(server.endpoint.grpc_url, worded) as pipeline:
            card, found = pipeline.card, pipeline.process(frame).detections
    assert (card.class_names, card.vocabulary, card.left_out) == (("red car", "helmet"), "words.npz", "masks")
    assert card.variant.startswith("yoloe_red-car-helmet_")
    picture, letterbox = letterboxed_from_image(frame.image_hwc_bgr, (SIZE, SIZE), swap_channels=True)
    images = torch.from_numpy(images_nchw_from_frames(picture[None]))
    unfused = answers(untrained(YOLOE), ["red car", "helmet"], random_vectors()[[2, 0]], images)[0].numpy()
    expected = detections_from_output(unfused, replace(card, head="yolo_raw"), letterbox)
    assert len(found) == pytest.approx(len(expected), abs=2)
    np.testing.assert_allclose(found.confidence[:5], expected.confidence[:5], atol=5e-3)
    np.testing.assert_array_equal(found.class_id[:5], expected.class_id[:5])
