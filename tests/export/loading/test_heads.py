"""Heads that people bring, as the export takes them: served with the right boxes, or refused with what was found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from photofinish.errors import ExportError
from photofinish.export.graph.session import output_from_onnx
from photofinish.export.graph.source import ModelSource
from photofinish.export.loading.onnx import source_from_onnx
from photofinish.export.loading.told import Told
from photofinish.heads import rows_from_head
from photofinish.model_card import GivenHead
from tests.export.conftest import SIZE, SaveOnnx
from tests.export.loading.heads_onnx import BOXES, CONFIDENCE, HEADS, LABELS

NAMES = {"names": "{0: 'cat', 1: 'dog', 2: 'fox'}"}
YOLO = {**NAMES, "stride": "32"}


def load(path: Path, head: GivenHead | None = None) -> ModelSource:
    return source_from_onnx(path, model="toy", sha256="", input_size=None, told=Told(head=head))


def assert_right_boxes(source: ModelSource) -> None:
    raw = output_from_onnx(source.expect_onnx(), np.zeros((1, 3, SIZE, SIZE), np.float32))[0]
    rows = rows_from_head(raw, source.head, keypoints=len(source.keypoints or ()))
    rows = rows[rows[:, 4] >= 0.25]
    rows = rows[np.argsort(-rows[:, 4], kind="stable")]
    expected = np.concatenate((BOXES[:, :2] - BOXES[:, 2:] / 2, BOXES[:, :2] + BOXES[:, 2:] / 2), axis=1)
    np.testing.assert_allclose(rows[:, :4], expected, atol=0.05)
    np.testing.assert_allclose(rows[:, 4], CONFIDENCE, atol=1e-3)
    np.testing.assert_array_equal(rows[:, 5].round(), LABELS if len(source.class_names) > 1 else (0, 0))


@pytest.mark.parametrize(
    ("what", "metadata", "head"),
    [
        ("YOLOv8", {}, None),
        ("YOLOv8", YOLO, None),
        ("YOLOv8", {}, "yolo_raw"),
        ("YOLOv5", {}, None),
        ("YOLOv5", YOLO, None),
        ("YOLOv6", YOLO, None),
        ("rows", {}, None),
        ("YOLOX", {}, "yolox"),
        ("YOLOX", NAMES, "yolox"),
        ("YOLOX, decoded", {}, "yolox"),
        ("RT-DETR", {}, "rtdetr"),
        ("RT-DETR", YOLO, "rtdetr"),
        ("RT-DETR of two classes", {}, "rtdetr"),
        ("rows in shares of the picture", {}, "rows_normalised"),
    ],
)
def test_served_with_the_right_boxes(
    save_raw_onnx: SaveOnnx, what: str, metadata: dict[str, str], head: GivenHead | None
) -> None:
    source = load(save_raw_onnx(HEADS[what](), metadata=metadata, influence=1e-6), head)
    assert_right_boxes(source)
    assert source.nms_free == (source.head == "rows")
    assert source.notices == ()
    if metadata:
        assert source.class_names == ("cat", "dog", "fox")


REFUSED: list[tuple[str, dict[str, str], GivenHead | None, str]] = [
    ("YOLOv8-pose", {}, None, r"confidences lie outside 0\.\.1, from .* to 24: if it is a pose model of one class"),
    ("YOLOv8-pose", {"task": "pose"}, None, r"is a pose model without a usable kpt_shape \(found None\)"),
    ("YOLOv8-pose", {"task": "pose", "kpt_shape": "[16, 3]"}, None, "in which 16 points of 3 values cannot stand"),
    ("YOLOv8-pose", YOLO, None, r"returns \[56, 84\] per picture with 3 class names; expected detection rows"),
    ("YOLOv8-pose", {}, "yolo_raw", r"confidences lie outside 0\.\.1"),
    ("YOLOv8-obb", {}, None, r"confidences lie outside 0\.\.1, from -0\."),
    ("YOLOv8-seg", {}, None, r"confidences lie outside 0\.\.1"),
    ("YOLOX", {}, None, "so pass --head yolox"),
    ("RT-DETR that finds nothing", YOLO, None, "with 3 class names; if it is RT-DETR queries .* pass --head rtdetr"),
    ("YOLOX, decoded", NAMES, None, "one box a cell as YOLOX, .* it shows 4 boxes there, so pass --head yolox"),
    ("YOLOX", YOLO, None, "all boxes are under a pixel.* so pass --head yolox"),
    ("YOLOX", {}, "yolo_raw_objectness", "all boxes are under a pixel.* so pass --head yolox"),
    ("RT-DETR", {}, None, "all boxes are under a pixel.* it shows 4 boxes there, so pass --head rtdetr"),
    ("RT-DETR", YOLO, None, "so pass --head rtdetr"),
    ("RT-DETR of two classes", {}, None, "classes are no whole numbers.* so pass --head rtdetr"),
    (
        "RT-DETR",
        {},
        "yolo_raw",
        r"returns \[300, 7\] per picture, which --head yolo_raw cannot be: expected a YOLO head",
    ),
    ("rows in shares of the picture", YOLO, None, "all boxes are under a pixel.* so pass --head rows_normalised"),
    ("DETR's logits", {}, None, r"confidences lie outside 0\.\.1, from -"),
    ("NanoDet", {}, None, r"confidences lie outside 0\.\.1"),
    ("NaN", YOLO, None, "the output holds NaN or infinity"),
    ("YOLOv8 in shares of the picture", YOLO, None, "all boxes are under a pixel"),
    ("YOLOv8 that finds nothing", {}, None, "no photo shows a box of confidence 0.25 or more: .* pass --head yolo_raw"),
    ("YOLOv8, sure of everything", {}, None, "every photo is full: 300 boxes .* pass --head yolo_raw"),
]


@pytest.mark.parametrize(("what", "metadata", "head", "message"), REFUSED)
def test_refused_with_what_was_found_and_the_option(
    save_raw_onnx: SaveOnnx, what: str, metadata: dict[str, str], head: GivenHead | None, message: str
) -> None:
    with pytest.raises(ExportError, match=message):
        load(save_raw_onnx(HEADS[what](), metadata=metadata, influence=1e-6), head)


@pytest.mark.parametrize(("metadata", "head"), [({}, "yolo_raw"), (YOLO, None)])
def test_a_layout_that_somebody_vouches_for_is_served_with_a_notice(
    save_raw_onnx: SaveOnnx, metadata: dict[str, str], head: GivenHead | None
) -> None:
    source = load(save_raw_onnx(HEADS["YOLOv8 that finds nothing"](), metadata=metadata, influence=1e-6), head)
    (notice,) = source.notices
    assert "although on the reference photos no photo shows a box" in notice


def test_an_output_that_nobody_reads_makes_a_layout_doubtful(save_raw_onnx: SaveOnnx) -> None:
    path = save_raw_onnx(HEADS["YOLOv8"]())
    model = onnx.load(path)
    model.graph.output.append(onnx.helper.make_tensor_value_info("features", onnx.TensorProto.FLOAT, None))
    onnx.save(model, path)
    with pytest.raises(ExportError, match=r"nobody reads its other outputs \(features\): .* pass --head yolo_raw"):
        load(path)
    source = load(path, "yolo_raw")
    assert_right_boxes(source)
    assert "nobody reads its other outputs" in source.notices[0]


def test_a_yolox_takes_bgr_in_0_to_255(tmp_path: Path) -> None:
    """Its picture reaches the network as YOLOX was trained: the toy's first output is the mean of each channel."""
    helper = onnx.helper
    raw = HEADS["YOLOX"]()
    marks = np.zeros((3, raw.size), np.float32)
    marks[:, [7, 15, 23]] = np.eye(3) / 1000
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["means"], axes=[2, 3], keepdims=0),
        helper.make_node("MatMul", ["means", "marks"], ["seen"]),
        helper.make_node("Reshape", ["seen", "shape"], ["column"]),
        helper.make_node("Add", ["column", "raw"], ["output0"]),
    ]
    constants = {"marks": marks, "shape": np.array([-1, *raw.shape]), "raw": raw[None]}
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, ["n", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("output0", onnx.TensorProto.FLOAT, ["n", *raw.shape])],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    path = tmp_path / "yolox.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    images = np.zeros((1, 3, SIZE, SIZE), np.float32)
    images[:, 0], images[:, 2] = 1, 0.4
    found = output_from_onnx(load(path, "yolox").expect_onnx(), images)[0]
    np.testing.assert_allclose(found[:3, 7], [0.4 * 0.255, 0, 0.255], atol=1e-4)
