from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from photofinish.errors import ExportError
from photofinish.export.graph.session import output_from_onnx
from photofinish.export.loading.onnx import source_from_onnx
from photofinish.export.loading.told import Told
from photofinish.heads import rows_from_head
from photofinish.keypoints.layout import COCO_POSE, FACE
from photofinish.model_card import GivenHead
from tests.export.conftest import SIZE, SaveOnnx
from tests.export.loading.heads_onnx import HEADS, save_outputs, several_outputs
from tests.export.loading.test_heads import NAMES, assert_right_boxes, load

FAMILIES: list[tuple[str, GivenHead]] = [
    ("YOLO-NAS", "yolo_nas"),
    ("DAMO-YOLO", "damo_yolo"),
    ("DETR of Hugging Face", "detr"),
    ("RT-DETR of Hugging Face", "rtdetr"),
    ("D-FINE's own export", "dfine"),
    ("YuNet", "yunet"),
    ("YOLOv5-face", "yolov5_face"),
]


@pytest.mark.parametrize("is_told", [False, True])
@pytest.mark.parametrize(("what", "head"), FAMILIES)
def test_several_outputs_are_recognised_and_joined(tmp_path: Path, what: str, head: GivenHead, is_told: bool) -> None:
    path = save_outputs(tmp_path / "toy.onnx", several_outputs(what), sizes_input=head == "dfine")
    source = load(path, head if is_told else None)
    assert_right_boxes(source)
    assert source.notices == ()
    if source.task == "pose":
        assert (source.keypoints, source.class_names) == (FACE, ("face",))
        raw = output_from_onnx(source.expect_onnx(), np.zeros((1, 3, SIZE, SIZE), np.float32))[0]
        rows = rows_from_head(raw, source.head, keypoints=5)
        centres = (rows[:, :2] + rows[:, 2:4]) / 2
        assert len(rows) == 2
        np.testing.assert_allclose(rows[:, 6:], np.tile(np.insert(centres, 2, 1, axis=1), 5), atol=0.05)


UNSURE = -8.0
"""Added to a DETR's logits, it makes no column look like an object's, and changes no softmax."""


@pytest.mark.parametrize(
    ("what", "names", "shift", "head"),
    [
        ("DETR of Hugging Face", (), 0, "detr"),
        ("DETR of Hugging Face", ("a", "b", "c"), 0, "detr"),
        ("DETR of Hugging Face", ("a", "b", "c"), UNSURE, "detr"),
        ("RT-DETR of Hugging Face", (), 0, "rtdetr"),
        ("RT-DETR of Hugging Face", ("a", "b", "c"), 0, "rtdetr"),
        ("DETR of Hugging Face", (), UNSURE, None),
        ("DETR of Hugging Face", ("a", "b", "c", "d"), 0, None),
        ("RT-DETR of Hugging Face", ("a", "b"), 0, None),
    ],
)
def test_a_detr_is_told_from_an_rtdetr_by_its_names_and_by_what_it_says_of_nothing(
    tmp_path: Path, what: str, names: tuple[str, ...], shift: float, head: GivenHead | None
) -> None:
    outputs = several_outputs(what)
    outputs["logits"] = outputs["logits"] + np.float32(shift)
    path = save_outputs(tmp_path / "toy.onnx", outputs, names=names)
    if head is None:
        with pytest.raises(ExportError, match=r"do not tell whether .*: pass --head detr if .*, --head rtdetr if not"):
            load(path)
        return
    for told in (None, head):
        source = load(path, told)
        assert_right_boxes(source)
        assert len(source.class_names) == 3


def test_a_detr_takes_pictures_normalised_as_it_was_trained(tmp_path: Path) -> None:
    """The toy adds a hundredth of the picture's mean to centre and width, so half of that to the left side."""
    model = onnx.load(save_outputs(tmp_path / "toy.onnx", several_outputs("DETR of Hugging Face")))
    nothing = next(item for item in model.graph.initializer if item.name == "nothing")
    nothing.CopyFrom(onnx.numpy_helper.from_array(np.float32(0.01), "nothing"))
    onnx.save(model, tmp_path / "toy.onnx")
    source = load(tmp_path / "toy.onnx", "detr")
    for value in (1, 0):
        left = output_from_onnx(source.expect_onnx(), np.full((1, 3, SIZE, SIZE), value, np.float32))[0, 0, 0]
        mean = np.mean((value - np.array((0.485, 0.456, 0.406))) / np.array((0.229, 0.224, 0.225)))
        np.testing.assert_allclose(left, 12 + mean * 0.01 / 2 * SIZE, rtol=1e-3)


@pytest.mark.parametrize(
    ("what", "head", "others"),
    [
        ("YOLO-NAS", "yolo_nas", "yolo_nas .*, or --head damo_yolo"),
        ("DAMO-YOLO", "damo_yolo", "yolo_nas .*, or --head damo_yolo"),
        ("RT-DETR of Hugging Face", "rtdetr", ""),
        ("DETR of Hugging Face", "detr", ""),
    ],
)
def test_four_classes_are_no_boxes_where_the_head_is_told(
    tmp_path: Path, what: str, head: GivenHead, others: str
) -> None:
    path = save_outputs(tmp_path / "toy.onnx", several_outputs(what, classes=4))
    source = load(path, head)
    assert_right_boxes(source)
    assert len(source.class_names) == 4
    if others:
        with pytest.raises(ExportError, match=f"either of which can be the corners: pass --head {others}"):
            load(path)
    else:
        assert_right_boxes(load(path))


def test_outputs_of_unknown_sides_are_recognised_by_what_they_give(tmp_path: Path) -> None:
    path = save_outputs(tmp_path / "toy.onnx", several_outputs("YOLO-NAS"))
    model = onnx.load(path)
    for output in model.graph.output:
        for dim in output.type.tensor_type.shape.dim[1:]:
            dim.dim_param = "side"
    onnx.save(model, path)
    assert_right_boxes(load(path))


def test_a_family_that_the_outputs_are_not_is_refused(tmp_path: Path) -> None:
    path = save_outputs(tmp_path / "toy.onnx", several_outputs("YOLO-NAS"))
    with pytest.raises(ExportError, match=r"returns boxes \[.*84, 4\].*, which --head yunet cannot be: expected YuNet"):
        load(path, "yunet")


def test_a_family_that_finds_nothing_has_to_be_told(tmp_path: Path) -> None:
    outputs = several_outputs("YOLO-NAS")
    outputs["scores"] = outputs["scores"] * 0.1
    path = save_outputs(tmp_path / "toy.onnx", outputs)
    with pytest.raises(ExportError, match=r"no photo shows a box .*: if that is what it is, .* pass --head yolo_nas"):
        load(path)
    assert "although" in load(path, "yolo_nas").notices[0]


@pytest.mark.parametrize("values", [2, 3])
@pytest.mark.parametrize("is_rows", [False, True])
def test_the_keypoints_of_a_pose_file_are_those_of_its_metadata(
    save_raw_onnx: SaveOnnx, values: int, is_rows: bool
) -> None:
    raw = HEADS["YOLOv8-pose"]()
    boxes, points = raw[:5], raw[5:].reshape(17, 3, -1)[:, :values].reshape(17 * values, -1)
    if is_rows:
        table = np.zeros((300, 6 + 17 * values), np.float32)
        table[:84, :4], table[:84, 4], table[:84, 6:] = boxes[:4].T, boxes[4], points.T
        table[:, 2:4] += table[:, :2]
    output = table if is_rows else np.concatenate((boxes, points))
    metadata = {"task": "pose", "kpt_shape": f"[17, {values}]", "names": "{0: 'person'}", "stride": "32"}
    source = load(save_raw_onnx(output, metadata=metadata, influence=1e-6))
    assert (source.task, source.keypoints, source.head) == ("pose", COCO_POSE, "rows" if is_rows else "yolo_raw")
    found = output_from_onnx(source.expect_onnx(), np.zeros((1, 3, SIZE, SIZE), np.float32))[0]
    assert found.shape == source.raw_dims
    rows = rows_from_head(found, source.head, keypoints=17)
    visibility = 0.8 if values == 3 else 1.0
    np.testing.assert_allclose(rows[0, 6:].reshape(17, 3), np.tile((20, 24, visibility), (17, 1)), atol=1e-3)


def test_a_pose_file_without_metadata_says_what_to_pass(save_raw_onnx: SaveOnnx) -> None:
    path = save_raw_onnx(HEADS["YOLOv8-pose"](), influence=1e-6)
    with pytest.raises(ExportError, match="if it is a pose model of one class, pass --head pose"):
        load(path)
    source = load(path, "pose")
    assert (source.task, source.keypoints, source.class_names) == ("pose", COCO_POSE, ("class0",))


def test_a_classifier_is_no_pose_model(save_raw_onnx: SaveOnnx) -> None:
    path = save_raw_onnx(np.zeros(1000, np.float32))
    with pytest.raises(
        ExportError, match=r"returns \[1000\] per picture, .* pass a pose model, not a classifier"
    ) as caught:
        load(path, "pose")
    assert "\n" not in str(caught.value)
    with pytest.raises(ExportError, match="is a classification model"):
        load(save_raw_onnx(np.zeros(1000, np.float32), metadata={"task": "classify"}), "pose")


def test_the_boxes_of_a_segmentation_file_alone(save_raw_onnx: SaveOnnx) -> None:
    path = save_raw_onnx(HEADS["YOLOv8-seg"](), metadata={"task": "segment", **NAMES}, influence=1e-6)
    with pytest.raises(ExportError, match=r"is a segmentation model, which answers with masks; .* pass --boxes-only"):
        load(path)
    source = source_from_onnx(path, model="toy", sha256="", input_size=None, told=Told(boxes_only=True))
    assert_right_boxes(source)
    assert (source.task, source.class_names) == ("detect", ("cat", "dog", "fox"))


WRONG: list[tuple[str, dict[str, object], str]] = [
    ("two pictures", {"pictures": 2}, r"takes 2 pictures \(images, images1\); .* of one picture"),
    ("NMS of its own", {"nms": True}, "removes overlapping boxes itself .* export it again without NMS"),
]


@pytest.mark.parametrize(("what", "options", "message"), WRONG)
def test_graphs_that_cannot_be_served_end_in_one_line(
    tmp_path: Path, what: str, options: dict[str, int], message: str
) -> None:
    path = save_outputs(tmp_path / "toy.onnx", several_outputs("YOLO-NAS"), **options)
    with pytest.raises(ExportError, match=message) as caught:
        load(path)
    assert "\n" not in str(caught.value), what
