"""A small trained-looking detector with every kind of block that pruning has to mind, and pictures for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from photofinish.synthetic.camera import SyntheticCamera

DESCRIPTION: dict[str, Any] = {
    "nc": 2,
    "end2end": True,
    "reg_max": 1,
    "backbone": [
        [-1, 1, "Conv", [16, 3, 2]],
        [-1, 1, "Conv", [32, 3, 2]],
        [-1, 1, "C3k2", [32, False, 0.5]],
        [-1, 1, "Conv", [64, 3, 2]],
        [-1, 1, "C3k2", [128, True]],
        [-1, 1, "C2PSA", [128]],
    ],
    "head": [
        [[-1, 2], 1, "Detect", ["nc"]],
    ],
}


@pytest.fixture(scope="session")
def small_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`small.pt`: attention, a C3k2 with and without C3k, and a head without NMS; 64 pixels, two classes."""
    import torch

    from photofinish.export.loading.ultralytics import DetectionModel

    torch.manual_seed(0)
    network = DetectionModel(dict(DESCRIPTION), verbose=False)
    network.names = {0: "car", 1: "bus"}
    network.args = {"task": "detect", "imgsz": 64}
    for head in network.model[-1].one2one_cv3:
        head[-1].bias.data.fill_(-2.0)  # so that it sees something to teach
    path = tmp_path_factory.mktemp("small") / "small.pt"
    torch.save({"model": network, "train_args": dict(network.args), "epoch": -1, "ema": None}, path)
    return path


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data.yaml with 8 pictures to learn from, without labels, and 2 labelled ones."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for split, count in (("train", 8), ("val", 2)):
        (folder / "images" / split).mkdir(parents=True)
        for index in range(count):
            picture = cv2.resize(rng.integers(0, 255, (6, 8, 3), np.uint8), (64, 48))
            cv2.imwrite(str(folder / "images" / split / f"{index}.png"), picture)
    (folder / "labels" / "val").mkdir(parents=True)
    for index in range(2):
        (folder / "labels" / "val" / f"{index}.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    path = folder / "data.yaml"
    path.write_text("train: images/train\nval: images/val\nnames: [car, bus]\n")
    return path


@pytest.fixture(scope="session")
def street_pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """Eight pictures of the synthetic camera."""
    folder, camera = tmp_path_factory.mktemp("street"), SyntheticCamera(seed=5)
    paths = tuple(folder / f"{index}.png" for index in range(8))
    for index, path in enumerate(paths):
        cv2.imwrite(str(path), cv2.resize(camera.frame(40 * index).image_hwc_bgr, (320, 180)))
    return paths
