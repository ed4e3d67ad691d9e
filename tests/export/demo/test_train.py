"""Rendering a data set, and a very short training run from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from photofinish.cli import cli
from photofinish.detections import empty_detections
from photofinish.errors import ExportError
from photofinish.export.demo.data import Split, labels_from_truth, write_dataset
from photofinish.export.demo.train import TrainingPlan
from photofinish.synthetic import CLASS_NAMES
from tests.builders import build_detections


def tiny_split(**changes: object) -> Split:
    values: dict[str, object] = {
        "name": "train",
        "first_seed": 4,
        "seed_count": 1,
        "frames_per_seed": 2,
        "crowding": (1.0, 1.0),
        "reduced": True,
    }
    return Split(**{**values, **changes})  # type: ignore[arg-type]


def test_labels_are_shares_of_the_picture() -> None:
    truth = build_detections([(0, 0, 64, 36, 1.0, 2), (32, 18, 64, 36, 1.0, 5)])
    assert labels_from_truth(truth, (64, 36)) == (
        "2 0.500000 0.500000 1.000000 1.000000\n5 0.750000 0.750000 0.500000 0.500000\n"
    )
    assert labels_from_truth(empty_detections(), (64, 36)) == ""


def test_data_set_is_complete_kept_and_never_mixed(tmp_path: Path) -> None:
    told: list[str] = []
    data = write_dataset(tmp_path, [tiny_split()], input_size=160, processes=1, on_progress=told.append)
    pictures = sorted((tmp_path / "images" / "train").iterdir())
    labels = sorted((tmp_path / "labels" / "train").iterdir())
    assert [path.stem for path in pictures] == [path.stem for path in labels]
    assert len(pictures) == 2
    image = cv2.imread(str(pictures[0]))
    assert image is not None
    assert image.shape == (90, 160, 3)
    rows = np.loadtxt(labels[0], ndmin=2)
    assert ((rows[:, 1:] >= 0) & (rows[:, 1:] <= 1)).all()
    assert set(rows[:, 0].astype(int)) <= set(range(len(CLASS_NAMES)))
    assert "images/train" in data["train"].read_text(encoding="utf-8")
    assert told == ["rendered 1 of 1 towns"]
    written = pictures[0].stat().st_mtime_ns
    write_dataset(tmp_path, [tiny_split()], input_size=160, processes=1, on_progress=told.append)
    assert pictures[0].stat().st_mtime_ns == written
    with pytest.raises(ExportError, match="holds files of another data set"):
        write_dataset(tmp_path, [tiny_split(frames_per_seed=3)], input_size=160, processes=1, on_progress=told.append)


def test_default_plan_keeps_its_splits_apart() -> None:
    used: set[int] = set()
    for split in TrainingPlan().splits():
        seeds = set(range(split.first_seed, split.first_seed + split.seed_count))
        assert not seeds & used
        used |= seeds
    assert TrainingPlan().splits()[2].frame_count == 2000


def test_a_very_short_run_writes_weights_and_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ultralytics")
    monkeypatch.setenv("YOLO_OFFLINE", "true")
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path / "config"))
    weights, results = tmp_path / "demo.pt", tmp_path / "demo.json"
    options = {
        "--work": tmp_path / "work",
        "--weights": weights,
        "--results": results,
        "--minutes": 0,
        "--epochs": 1,
        "--train-seeds": 1,
        "--frames-per-seed": 2,
        "--validation-seeds": 1,
        "--test-seeds": 1,
        "--input-size": 160,
        "--batch-size": 2,
        "--workers": 0,
        "--device": "cpu",
    }
    arguments = [str(part) for option in options.items() for part in option]
    outcome = CliRunner().invoke(cli, ["train-demo", *arguments], catch_exceptions=False)
    assert outcome.exit_code == 0
    assert outcome.stdout.splitlines()[-1].startswith("all ")
    written = json.loads(results.read_text(encoding="utf-8"))
    assert written["plan"]["epochs"] == 1
    assert written["weights"]["bytes"] == weights.stat().st_size <= 6_000_000
    assert len(written["training_curve"]) == 1
    assert written["evaluation"]["frames"] == 2
    weights.unlink()
    again = CliRunner().invoke(cli, ["train-demo", *arguments, "--resume"], catch_exceptions=False)
    assert again.exit_code == 0
    assert "is the end of a finished training" in again.stderr
    assert weights.is_file()
