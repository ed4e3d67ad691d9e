"""Small values for tests."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import numpy as np

from photofinish.detections import Detections
from photofinish.frame import Frame
from photofinish.model_card import ModelCard


def build_frame(*, size_wh: tuple[int, int] = (64, 48), index: int = 0, seed: int = 0) -> Frame:
    width, height = size_wh
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Frame(image_hwc_bgr=image, stream_id="test", index=index, captured_ns=index)


def build_detections(rows: list[tuple[float, float, float, float, float, int]]) -> Detections:
    """Rows of x1, y1, x2, y2, confidence, class."""
    table = np.array(rows, dtype=np.float32).reshape(-1, 6)
    return Detections(boxes_xyxy=table[:, :4], confidence=table[:, 4], class_id=table[:, 5].astype(np.int32))


def build_card(**changes: object) -> ModelCard:
    values: dict[str, object] = {
        "variant": "toy_onnx_fp32",
        "model": "toy",
        "backend": "onnxruntime",
        "precision": "fp32",
        "contract": "frames",
        "role": "optimised",
        "head": "rows",
        "nms": "none",
        "input_wh": (64, 64),
        "class_names": ("car", "bus"),
        "weights": "toy.pt",
        "weights_sha256": "0" * 64,
    }
    return ModelCard(**{**values, **changes})  # type: ignore[arg-type]


def cores_of_threads(pid: int) -> set[frozenset[int]]:
    """The cores that threads of a process may use, each choice once."""
    found = set()
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(ProcessLookupError):  # it has ended meanwhile
            found.add(frozenset(os.sched_getaffinity(int(thread.name))))
    return found
