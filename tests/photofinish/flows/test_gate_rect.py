"""A rectangular input moves confidences at any precision: there the probes tell a fault from a missing grey border."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from photofinish.cli import cli
from photofinish.errors import ExportError
from photofinish.flows.gate import GateOptions, gate_and_publish
from tests.conftest import CHECKOUT, staged_coco
from tests.perf.accuracy.wrecks import with_swapped_channels
from tests.photofinish.flows.test_gate import stage

FRAMES = 8
LENIENT = 0.5
"""A floor that the wreck keeps, so that only the probe can refuse it."""


def test_swapped_channels_behind_a_rectangular_input_are_found_by_the_probe(test_data: Path, tmp_path: Path) -> None:
    with staged_coco(test_data, ("onnx_fp32", "onnx_fp32_rect")) as (square, rect):
        model = onnx.load(rect.directory / "1" / "model.onnx")
        baseline = stage(
            tmp_path, square.directory, replace(square.variant, suffix="baseline", role="baseline"), square.directory
        )
        good = stage(tmp_path, rect.directory, replace(rect.variant, min_map_share=LENIENT), rect.directory)
        wrecked = replace(rect.variant, suffix="wrecked_rect", min_map_share=LENIENT)
        swapped = stage(tmp_path, rect.directory, wrecked, with_swapped_channels(model))
    options = GateOptions(
        frames=str(test_data / "videos" / "highway_cars_720p.mp4"), size=FRAMES, work=tmp_path / "work"
    )
    outcome = gate_and_publish((baseline, good, swapped), baseline, tmp_path / "r", options, on_progress=print)
    assert outcome.report is not None
    verdicts = {verdict.name: verdict for verdict in outcome.report.verdicts}
    assert verdicts[good.variant.name].passed, verdicts[good.variant.name].reason
    refused = verdicts[swapped.variant.name]
    assert not refused.passed
    assert "its colour channels are swapped" in refused.reason
    assert refused.result.mean_confidence_error <= 0.1, "the limit alone would have let it pass"


def test_a_variant_asked_for_by_name_and_left_out_for_its_shape_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "frames").mkdir()
    for index in range(3):
        noise = np.random.default_rng(index).integers(0, 256, (96, 96, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / "frames" / f"{index}.png"), noise)
    line = ["export", "--device", "cpu", "--input-size", "128", "--variant", "onnx_fp32_rect", "--frames", "frames"]
    result = CliRunner().invoke(cli, [*line, "--variants", str(CHECKOUT / "variants.toml")], standalone_mode=False)
    assert isinstance(result.exception, ExportError)
    assert "demo_traffic_onnx_fp32_rect was asked for and is not published" in str(result.exception)
    assert "is for 16:9 and the gate's pictures are not (one is 96 × 96)" in result.stderr
