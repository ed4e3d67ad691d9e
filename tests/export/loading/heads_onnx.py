"""Small ONNX files with the heads that people bring: what each gives is put together from boxes that are known."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

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
        raw[4 + label % classes, index] = confidence
    return raw


def pose() -> Array:
    """One class and 17 points (4 + 1 + 51, anchors)."""
    points = np.tile(np.array([20.0, 24.0, 0.8], np.float32)[:, None], (17, 84))
    boxes = yolo_raw(classes=1)
    boxes[4, :2] = CONFIDENCE
    return np.concatenate((boxes, points))


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


SEVERAL = (
    "YOLO-NAS",
    "DAMO-YOLO",
    "DETR of Hugging Face",
    "RT-DETR of Hugging Face",
    "D-FINE's own export",
    "YuNet",
    "YOLOv5-face",
)
"""What `several_outputs` can be asked for."""
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


def yunet() -> dict[str, Array]:
    """YuNet's twelve outputs for 64 pixels; each box has its five points in its middle."""
    outputs = {}
    for stride, count in zip((8, 16, 32), YOLOX_CELLS, strict=True):
        outputs[f"cls_{stride}"] = np.full((count, 1), 0.4, np.float32)
        outputs[f"obj_{stride}"] = np.full((count, 1), 0.01, np.float32)
        outputs[f"bbox_{stride}"] = np.zeros((count, 4), np.float32)
        outputs[f"kps_{stride}"] = np.zeros((count, 10), np.float32)
    for box, confidence in zip(BOXES, CONFIDENCE, strict=True):
        column, row = (box[:2] // 8).astype(int)
        cell, offset = row * 8 + column, box[:2] / 8 - (column, row)
        outputs["cls_8"][cell], outputs["obj_8"][cell] = confidence, 1
        outputs["bbox_8"][cell] = (*offset, *np.log(box[2:] / 8))
        outputs["kps_8"][cell] = np.tile(offset, 5)
    return {key: outputs[key] for what in ("cls", "obj", "bbox", "kps") for key in outputs if key.startswith(what)}


def yolov5_face() -> dict[str, Array]:
    """YOLOv5-face's three raw scales for 64 pixels; each box has its five points in its middle."""

    def logit(share: npt.ArrayLike) -> Array:
        values = np.asarray(share, np.float32)
        return np.log(values / (1 - values))

    scales = {name: np.full((48, side, side), -9, np.float32) for name, side in zip("abc", (8, 4, 2), strict=True)}
    anchor = np.array((13, 16), np.float32)
    for box, confidence in zip(BOXES, CONFIDENCE, strict=True):
        column, row = (box[:2] // 8).astype(int)
        values = scales["a"][32:, row, column]
        values[:2] = logit((box[:2] / 8 - (column, row) + 0.5) / 2)
        values[2:4] = logit(np.sqrt(box[2:] / anchor) / 2)
        values[4], values[15] = logit(confidence), 15
        values[5:15] = np.tile((box[:2] - np.array((column, row)) * 8) / anchor, 5)
    return scales


def detr(*, classes: int = 3) -> dict[str, Array]:
    """DETR's logits (queries, classes + 1), whose last says "nothing", and boxes as shares."""
    queries = rtdetr(classes=classes)
    shares = np.full((300, classes + 1), 0.01, np.float32)
    shares[:2, :classes] = queries[:2, 4:]
    shares[:, -1] = 1 - shares[:, :-1].sum(axis=1)
    return {"logits": np.log(shares) + 5, "pred_boxes": queries[:, :4]}  # what is added to all changes no softmax


def several_outputs(what: str, *, classes: int = 3) -> dict[str, Array]:
    """The outputs of families that answer with more than one, by name; without the batch dimension."""
    raw, queries, found = yolo_raw(classes=classes).T, rtdetr(classes=classes), rows()
    corners = np.concatenate((raw[:, :2] - raw[:, 2:4] / 2, raw[:, :2] + raw[:, 2:4] / 2), axis=1)
    scores = raw[:, 4:]
    return {
        "YOLO-NAS": {"boxes": corners, "scores": scores},
        "DAMO-YOLO": {"cls": scores, "boxes": corners},
        "DETR of Hugging Face": detr(classes=classes),
        "RT-DETR of Hugging Face": {
            "logits": np.log(queries[:, 4:] / (1 - queries[:, 4:])),
            "pred_boxes": queries[:, :4],
        },
        "D-FINE's own export": {"labels": found[:, 5], "boxes": found[:, :4], "scores": found[:, 4]},
        "YuNet": yunet(),
        "YOLOv5-face": yolov5_face(),
    }[what]


def save_outputs(
    path: Path,
    outputs: dict[str, Array],
    *,
    sizes_input: bool = False,
    nms: bool = False,
    pictures: int = 1,
    names: Sequence[str] = (),
) -> Path:
    """An ONNX file that answers any picture with these outputs. sizes_input: it asks for `orig_target_sizes` too.

    nms: it removes boxes itself. pictures: how many it takes at once. names: of the classes, in its metadata.
    """
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["mean", "nothing"], ["zero"]),
    ]
    constants = [numpy_helper.from_array(np.float32(0), "nothing")]
    for name, values in outputs.items():
        shape = np.array([-1, *([1] * values.ndim)], np.int64)
        constants += [
            numpy_helper.from_array(shape, f"{name}_shape"),
            numpy_helper.from_array(values[None], f"{name}_"),
        ]
        is_label = name == "labels"
        nodes += [
            helper.make_node("Reshape", ["zero", f"{name}_shape"], [f"{name}_zero"]),
            helper.make_node("Add", [f"{name}_zero", f"{name}_"], [f"{name}_fp32" if is_label else name]),
        ]
        if is_label:
            nodes.append(helper.make_node("Cast", ["labels_fp32"], ["labels"], to=TensorProto.INT64))
    inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, SIZE, SIZE])]
    if sizes_input:
        inputs.append(helper.make_tensor_value_info("orig_target_sizes", TensorProto.INT64, ["batch", 2]))
    for number in range(1, pictures):
        inputs.append(helper.make_tensor_value_info(f"images{number}", TensorProto.FLOAT, ["batch", 3, SIZE, SIZE]))
    if nms:
        first = next(iter(outputs))
        nodes.append(helper.make_node("NonMaxSuppression", [first, first], ["kept"]))
    told = [
        helper.make_tensor_value_info(
            name, TensorProto.INT64 if name == "labels" else TensorProto.FLOAT, ["batch", *values.shape]
        )
        for name, values in outputs.items()
    ]
    graph = helper.make_graph(nodes, "toy", inputs, told, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if names:
        helper.set_model_props(model, {"names": json.dumps(list(names))})
    onnx.save(model, path)
    return path
