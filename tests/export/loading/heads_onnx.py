"""Small ONNX files with the heads that people bring: what each gives is put together from boxes that are known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from tests.export.conftest import SIZE

Array = npt.NDArray[np.float32]
BOXES = np.array([(20, 24, 16, 20), (44, 40, 12, 16)], np.float32)
"""Centre and size in pixels of a picture of 64; the first is class 1, the second class 0."""
LABELS = (1, 0)
CONFIDENCE = (0.9, 0.8)
YOLOX_CELLS = (64, 16, 4)


def yolo_raw(*, classes: int = 3, anchors: int = 84) -> Array:
    """(4 + classes, anchors)."""
    raw = np.zeros((4 + classes, anchors), np.float32)
    raw[:4] = BOXES[np.arange(anchors) % 2].T
    raw[4:, 2:] = 0.01
    for index, (label, confidence) in enumerate(zip(LABELS, CONFIDENCE, strict=True)):
        raw[4 + label, index] = confidence
    return raw


def pose() -> Array:
    """One class and 17 points (4 + 1 + 51, anchors)."""
    points = np.tile(np.array([20.0, 24.0, 0.8], np.float32)[:, None], (17, 84))
    return np.concatenate((yolo_raw(classes=2)[:5], points))


def oriented() -> Array:
    """A turned box: angles behind the classes."""
    return np.concatenate((yolo_raw(), np.linspace(-0.7, 2.3, 84, dtype=np.float32)[None]))


def segmentation() -> Array:
    """32 coefficients of masks behind the classes."""
    return np.concatenate((yolo_raw(), np.random.default_rng(0).normal(size=(32, 84)).astype(np.float32)))


def yolo_objectness() -> Array:
    """(anchors, 5 + classes)."""
    table = yolo_raw().T
    return np.concatenate((table[:, :4], table[:, 4:].max(axis=1, keepdims=True) ** 0, table[:, 4:]), axis=1)


def yolox(*, decoded: bool = False) -> Array:
    """(anchors, 5 + classes) for 64 pixels: the two boxes stand in cells of stride 8, as YOLOX counts."""
    raw = np.zeros((sum(YOLOX_CELLS), 8), np.float32)
    cells = [
        (column, row, stride)
        for stride in (8, 16, 32)
        for row in range(SIZE // stride)
        for column in range(SIZE // stride)
    ]
    for index, (column, row, stride) in enumerate(cells):
        raw[index, :4] = (
            ((column + 0.5) * stride, (row + 0.5) * stride, stride, stride) if decoded else (0.5, 0.5, 0, 0)
        )
    for index, (box, label) in enumerate(zip(BOXES, LABELS, strict=True)):
        cell = int(box[1] // 8) * 8 + int(box[0] // 8)
        raw[cell, :4] = box if decoded else (*(box[:2] / 8 - cells[cell][:2]), *np.log(box[2:] / 8))
        raw[cell, 4], raw[cell, 5 + label] = 1, CONFIDENCE[index]
    return raw


def rtdetr(*, classes: int = 3) -> Array:
    """(queries, 4 + classes), centre and size as shares."""
    table = np.full((300, 4 + classes), 0.01, np.float32)
    table[:2, :4] = BOXES / SIZE
    for index, (label, confidence) in enumerate(zip(LABELS, CONFIDENCE, strict=True)):
        table[index, 4 + label] = confidence
    return table


def rows(*, scale: float = 1) -> Array:
    """(300, 6) corners, confidence, class."""
    table = np.zeros((300, 6), np.float32)
    table[:2, :2], table[:2, 2:4] = (BOXES[:, :2] - BOXES[:, 2:] / 2) * scale, (BOXES[:, :2] + BOXES[:, 2:] / 2) * scale
    table[:2, 4], table[:2, 5] = CONFIDENCE, LABELS
    return table


def logits() -> Array:
    """DETR's class logits (queries, classes), whose boxes are another output."""
    return np.random.default_rng(0).normal(-4, 2, (100, 12)).astype(np.float32)


def nanodet() -> Array:
    """(anchors, classes + 32): scores first, then distributions of distances."""
    random = np.random.default_rng(0)
    return np.concatenate((random.uniform(0, 0.3, (84, 3)), random.normal(size=(84, 32))), axis=1).astype(np.float32)


HEADS: dict[str, Callable[[], Array]] = {
    "YOLOv8": yolo_raw,
    "YOLOv8 that finds nothing": lambda: np.minimum(yolo_raw(), np.array([99] * 4 + [0.1] * 3, np.float32)[:, None]),
    "YOLOv8 in shares of the picture": lambda: yolo_raw() / np.array([SIZE] * 4 + [1] * 3, np.float32)[:, None],
    "YOLOv8, sure of everything": lambda: np.maximum(
        _spread(yolo_raw(anchors=1600)), np.array([0] * 4 + [0.9] * 3, np.float32)[:, None]
    ),
    "YOLOv8-pose": pose,
    "YOLOv8-obb": oriented,
    "YOLOv8-seg": segmentation,
    "YOLOv5": lambda: np.concatenate((yolo_objectness(), yolo_objectness()[2:])),
    "YOLOv6": yolo_objectness,
    "YOLOX": yolox,
    "YOLOX, decoded": lambda: yolox(decoded=True),
    "RT-DETR": rtdetr,
    "RT-DETR that finds nothing": lambda: np.minimum(rtdetr(), np.array([1] * 4 + [0.1] * 3, np.float32)),
    "RT-DETR of two classes": lambda: rtdetr(classes=2),
    "rows": rows,
    "rows in shares of the picture": lambda: rows(scale=1 / SIZE),
    "DETR's logits": logits,
    "NanoDet": nanodet,
    "NaN": lambda: yolo_raw() * np.float32("nan"),
}


def _spread(raw: Array) -> Array:
    """The boxes side by side, so that none hides another."""
    places = np.arange(raw.shape[1])
    raw[:4] = np.stack([places % 40 * 1.6, places // 40 * 1.6, np.full(len(places), 1.6), np.full(len(places), 1.6)])
    return raw
