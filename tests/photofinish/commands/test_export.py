from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from click.testing import CliRunner

from photofinish.cli import cli
from photofinish.export.graph.parity import reference_picture_paths
from tests.export.conftest import CHECKOUT

SURE = 0.8
"""The original runtime's score of a face above which it is labelled; below lies a false one."""


def _export(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "photofinish.cli", "export", "--device", "cpu", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_from_weights_to_a_repository(tmp_path: Path) -> None:
    arguments = ("--weights", "yolo26n.yaml", "--input-size", "64", "--variant", "onnx_fp32", "--model-name", "tiny")
    done = _export(*arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "model_repository" / "tiny_onnx_fp32" / "1" / "model.onnx").is_file()
    header, row = done.stdout.strip().splitlines()
    assert header.split()[:3] == ["variant", "precision", "contract"]
    assert row.startswith("tiny_onnx_fp32  fp32")
    assert row.endswith("rebuilt")
    assert "tiny_onnx_fp32: building (onnx_fp32)" in done.stderr
    assert "untrained" in done.stderr


def test_a_face_model_goes_through_a_whole_export_with_labelled_points(test_data: Path, tmp_path: Path) -> None:
    """The labels are what the original runtime finds with the same file, so each is found, and its points lie there."""
    weights = test_data / "weights" / "yunet_n_640_640.onnx"
    references = json.loads((test_data / "weights" / "reference_points.json").read_text())["models"][weights.name]
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    (tmp_path / "data.yaml").write_text("val: images\nnames: [face]\nkpt_shape: [5, 3]\n")
    for picture in reference_picture_paths():
        shutil.copy(picture, tmp_path / "images")
        height, width = cv2.imread(str(picture)).shape[:2]
        lines = []
        for item in (item for item in references[picture.name] if item["score"] > SURE):
            x1, y1, x2, y2 = (value / side for value, side in zip(item["box"], (width, height) * 2, strict=True))
            points = [f"{x / width} {y / height} 2" for x, y, *_ in item["points"]]
            lines.append(" ".join(map(str, (0, (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1, *points))))
        (tmp_path / "labels" / f"{picture.stem}.txt").write_text("\n".join(lines))
    wanted = ("--variant", "onnx_fp32_tensor", "--variant", "onnx_fp16", "--data", "data.yaml")
    done = _export("--weights", str(weights), "--model-name", "faces", *wanted, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "model_repository" / "faces_onnx_fp16" / "1" / "model.onnx").is_file()
    report = json.loads((tmp_path / ".photofinish" / "gate" / "faces.json").read_text())
    for result in (verdict["result"] for verdict in report["verdicts"]):
        assert result["oks_map50_95"] == pytest.approx(1)
        assert result["truth_point_error"] < 0.001
        assert result["mean_point_error"] < 0.001


def test_a_head_that_nobody_knows_is_told_those_that_are() -> None:
    told = CliRunner().invoke(cli, ["export", "--weights", "any.onnx", "--head", "banana"])
    assert told.exit_code == 2
    last = told.output.strip().splitlines()[-1]
    assert last.startswith("Error: Invalid value for '--head': 'banana' is not one of 'rows', ")
    assert "'detr'" in last


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--weights", "missing.pt"), "missing.pt does not exist"),
        (("--weights", "yolo26n.yaml", "--variant", "nonsense"), "unknown variant nonsense"),
        (("--weights", "yolo26n.yaml", "--variants", "broken.toml"), "broken.toml cannot be read"),
        (("--weights", "yolo26n.yaml", "--gpus", "first"), "--gpus must be all or numbers"),
        (("--weights", "broken.pt"), "broken.pt is not an Ultralytics model"),
    ],
)
def test_bad_input_is_one_line_and_exit_1(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    (tmp_path / "broken.toml").write_text("[variant")
    (tmp_path / "broken.pt").write_text("not weights")
    if "--variants" not in arguments:
        arguments = (*arguments, "--variants", str(CHECKOUT / "variants.toml"))
    done = _export(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("photofinish: ")
    assert message in last
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "model_repository").exists()


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [("--data", "none.yaml", "none.yaml cannot be read"), ("--frames", "none.mp4", "none.mp4 does not exist")],
)
def test_what_the_gate_looks_at_is_checked_before_anything_is_built(
    tmp_path: Path, option: str, value: str, said: str
) -> None:
    done = _export(option, value, cwd=tmp_path)
    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / ".photofinish").exists()
