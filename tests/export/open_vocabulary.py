"""Untrained open-vocabulary weights and random embeddings, whose confidences lie apart."""

from __future__ import annotations

import copy
import functools
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ultralytics.nn.modules.block import BNContrastiveHead, ContrastiveHead
from ultralytics.nn.tasks import WorldModel, YOLOEModel, YOLOESegModel

from photofinish.export.graph.parity import frames_from_pictures, reference_picture_paths
from photofinish.letterbox import images_nchw_from_frames

NAMES = ("helmet", "forklift", "red car")


@functools.cache
def untrained(description: str) -> Any:
    """A YOLOE or YOLO-World of that description, in eval mode. Do not change it."""
    torch.manual_seed(0)
    make = WorldModel if "world" in description else YOLOESegModel if "seg" in description else YOLOEModel
    network = make(description, verbose=False).eval()
    network.task = "segment" if "seg" in description else "detect"
    network.names = {number: f"thing {number}" for number in range(80)}
    norms = [layer for layer in network.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    for norm in norms:  # without statistics of its own, a deep untrained network answers the same everywhere
        norm.train()
        norm.momentum = 1.0
    with torch.no_grad():
        network(torch.from_numpy(images_nchw_from_frames(frames_from_pictures(reference_picture_paths(), (128, 128)))))
    network.eval()
    for layer in network.modules():
        if isinstance(layer, (BNContrastiveHead, ContrastiveHead)):
            layer.bias.data.fill_(-1.0)
            layer.logit_scale.data.fill_(-1.0 if isinstance(layer, BNContrastiveHead) else 3.0)
    return network


def save(path: Path, network: Any) -> Path:
    """The checkpoint, as Ultralytics writes it."""
    torch.save({"model": network, "train_args": {"imgsz": 64}, "epoch": -1}, path)
    return path


def random_vectors(count: int = len(NAMES), width: int = 512, seed: int = 0) -> np.ndarray:
    """(count, width) float32 of unit length."""
    vectors = np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def save_embeddings(path: Path, vectors: np.ndarray | None = None, names: object = NAMES, **more: object) -> Path:
    """The .npz with names and embeddings."""
    values = {"names": np.array(names), "embeddings": random_vectors() if vectors is None else vectors, **more}
    np.savez(path, **values)  # type: ignore[arg-type]
    return path


def answers(network: Any, names: list[str], vectors: np.ndarray, images: torch.Tensor) -> torch.Tensor:
    """What the network answers with these words and is not fused with: (n, 4 + classes, anchors), boxes decoded."""
    told, found = copy.deepcopy(network), torch.from_numpy(vectors)[None]
    head = told.model[-1]
    if isinstance(told, WorldModel):
        told.txt_feats = found
        head.nc = len(names)
    else:
        told.set_classes(names, found)
    with torch.no_grad():
        _, raw = told(images)
        one = raw.get("one2one", raw)
        head.end2end = "one2one" in raw
        return torch.cat((head._get_decode_boxes(one), one["scores"].sigmoid()), 1)
