"""The committed demo detector: its size, its results file, and what it sees on the default scene."""

from __future__ import annotations

import hashlib
import json
import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from photofinish.detections import Detections, match_detections
from photofinish.export.int8.frames import SYNTHETIC_SEEDS as CALIBRATION_SEEDS
from photofinish.perf.accuracy.data import SYNTHETIC_SEEDS as GATE_SEEDS
from photofinish.synthetic import CLASS_NAMES, SyntheticCamera

CHECKOUT = Path(__file__).resolve().parents[3]
WEIGHTS = CHECKOUT / "export" / "weights" / "demo_traffic.pt"
RESULTS = CHECKOUT / "results" / "demo_training.json"


def test_weights_are_small_and_the_results_are_theirs() -> None:
    content = WEIGHTS.read_bytes()
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    assert len(content) <= 6_000_000
    assert results["weights"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert results["class_names"] == list(CLASS_NAMES)
    assert results["evaluation"]["frames"] == 2000
    assert results["evaluation"]["map50_95"] >= 0.80
    assert set(results["evaluation"]["per_class"]) == set(CLASS_NAMES)


def test_the_readme_tells_the_measured_figures() -> None:
    evaluation = json.loads(RESULTS.read_text(encoding="utf-8"))["evaluation"]
    readme = (WEIGHTS.parent / "README.md").read_text(encoding="utf-8")
    rows = {"all": evaluation, **{name: evaluation["per_class"][name] for name in CLASS_NAMES}}
    for name, figures in rows.items():
        assert f"| {name} | {figures['map50_95']:.3f} | {figures['map50']:.3f} |" in readme


def test_splits_share_no_seed() -> None:
    splits = json.loads(RESULTS.read_text(encoding="utf-8"))["splits"]
    ranges = sorted((split["first_seed"], split["first_seed"] + split["seed_count"]) for split in splits)
    assert ranges[0][0] >= 1000  # small seeds are the demo's own scenes
    assert all(before[1] <= after[0] for before, after in pairwise(ranges))
    others = (SyntheticCamera().seed, *GATE_SEEDS, *CALIBRATION_SEEDS)
    assert len(set(others)) == len(others)
    assert not [seed for seed in others for first, end in ranges if first <= seed < end]


def test_it_finds_nine_of_ten_objects_on_the_default_scene(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YOLO_OFFLINE", "true")
    ultralytics = pytest.importorskip("ultralytics")
    model = ultralytics.YOLO(str(WEIGHTS))
    assert tuple(model.names.values()) == CLASS_NAMES
    camera = SyntheticCamera()
    matched = shown = present = 0
    for index in range(0, 3000, 375):
        frame = camera.frame(index)
        assert frame.truth is not None
        boxes = model.predict(
            frame.image_hwc_bgr, imgsz=640, rect=False, conf=0.25, device="cpu", verbose=False, save=False
        )[0].boxes
        found = Detections(
            boxes_xyxy=boxes.xyxy.numpy().astype(np.float32),
            confidence=boxes.conf.numpy().astype(np.float32),
            class_id=boxes.cls.numpy().astype(np.int32),
        )
        matched += int((match_detections(found, frame.truth) >= 0).sum())
        shown += len(found)
        present += len(frame.truth)
    assert matched >= 0.9 * present > 0
    assert matched >= 0.8 * shown


def test_weights_hold_no_paths() -> None:
    assert os.fsencode(str(CHECKOUT)) not in WEIGHTS.read_bytes()
    assert b"/tmp/" not in WEIGHTS.read_bytes()
