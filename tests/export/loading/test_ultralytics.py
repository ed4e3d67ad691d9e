from __future__ import annotations

import sys
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from ultralytics.nn.tasks import ClassificationModel, DetectionModel, OBBModel, PoseModel, SegmentationModel

from photofinish.errors import ExportError
from photofinish.export.graph.frames_torch import frames_network_from_source
from photofinish.export.loading.ultralytics import source_from_pt, source_from_yaml
from photofinish.export.recipes.context import output_from_network
from photofinish.keypoints.layout import COCO_POSE, KeypointLayout
from photofinish.letterbox import letterboxed_from_image
from photofinish.synthetic import SyntheticCamera
from tests.conftest import CHECKOUT

DEMO_WEIGHTS = CHECKOUT / "export" / "weights" / "demo_traffic.pt"


def _from_pt(path: Path, input_size: int | None = 64) -> object:
    return source_from_pt(path, model="toy", sha256="", input_size=input_size)


@pytest.mark.parametrize(
    ("description", "head", "nms_free"),
    [
        ("yolo26n.yaml", "rows", True),
        ("yolov10n.yaml", "rows", True),
        ("yolo11n.yaml", "yolo_raw", False),
        ("yolov8n.yaml", "yolo_raw", False),
        ("yolov5nu.yaml", "yolo_raw", False),
    ],
)
def test_each_family_speaks_the_frames_contract(description: str, head: str, nms_free: bool) -> None:
    source = source_from_yaml(description, model="toy", sha256="", input_size=64)
    assert (source.head, source.nms_free, source.untrained) == (head, nms_free, True)
    assert source.input_wh == (64, 64)
    assert len(source.class_names) == 80
    frames = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    rows = output_from_network(frames_network_from_source(source), frames)
    assert rows.shape == (1, 300, 6)
    assert (np.diff(rows[0, :, 4]) <= 0).all()
    assert (rows[0, 84:, 4] == 0).all(), "64 pixels have 84 anchors; the other rows are unused"


@pytest.mark.parametrize(("aspect", "input_wh"), [("1:1", (320, 320)), ("16:9", (320, 192))])
def test_the_half_network_finds_what_the_whole_one_finds(aspect: str, input_wh: tuple[int, int]) -> None:
    source = source_from_pt(DEMO_WEIGHTS, model="toy", sha256="", input_size=320, aspect=aspect)
    assert source.input_wh == input_wh
    assert source.make_fp16_network is not None
    picture, _ = letterboxed_from_image(SyntheticCamera(seed=3).frame(100).image_hwc_bgr, input_wh, swap_channels=True)
    images = torch.from_numpy(picture.transpose(2, 0, 1)[None]).float() / 255
    with torch.no_grad():
        whole, half = source.expect_network()(images)[0], source.make_fp16_network()(images)[0]
    sure = whole[whole[:, 4] > 0.6]
    assert len(sure) >= 3
    for row in sure:
        nearest = half[(half[:, :4] - row[:4]).abs().amax(dim=1).argmin()]
        torch.testing.assert_close(nearest[:4], row[:4], atol=0.5, rtol=0)
        assert abs(float(nearest[4] - row[4])) < 0.02
        assert nearest[5] == row[5]


def test_untrained_weights_are_the_same_each_time() -> None:
    first, second = (source_from_yaml("yolo26n.yaml", model="toy", sha256="", input_size=64) for _ in range(2))
    for one, other in zip(first.expect_network().parameters(), second.expect_network().parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_checkpoint_keeps_its_names_and_size(tmp_path: Path) -> None:
    network = DetectionModel("yolo26n.yaml", nc=2, verbose=False)
    network.names = {0: "car", 1: "bus"}
    path = tmp_path / "two.pt"
    torch.save({"model": network, "train_args": {"imgsz": 96}, "epoch": -1}, path)
    source = source_from_pt(path, model="two", sha256="x", input_size=None)
    assert source.class_names == ("car", "bus")
    assert source.input_wh == (96, 96)
    assert not source.untrained


@pytest.mark.parametrize(
    ("names", "class_names"),
    [({1: "bus"}, ("class0", "bus")), (["car", "bus", "tram"], ("car", "bus")), ({}, ("class0", "class1"))],
)
def test_names_are_checked_against_the_classes_of_the_head(
    tmp_path: Path, names: object, class_names: tuple[str, ...]
) -> None:
    network = DetectionModel("yolo26n.yaml", nc=2, verbose=False)
    network.names = names
    path = tmp_path / "two.pt"
    torch.save({"model": network, "train_args": {"imgsz": 96}, "epoch": -1}, path)
    assert source_from_pt(path, model="two", sha256="x", input_size=None).class_names == class_names


@pytest.mark.parametrize("size", [16, 100])
def test_a_size_that_does_not_fit_is_refused_with_one_that_does(size: int) -> None:
    with pytest.raises(ExportError, match=r"multiple of its stride 32; pass --input-size \d+ or \d+"):
        source_from_yaml("yolo26n.yaml", model="toy", sha256="", input_size=size)


REFUSED = [
    ("segment", "yolo26n-seg.yaml", "is a segmentation model, which answers with masks; .*: pass --boxes-only"),
    ("obb", "yolo26n-obb.yaml", "is an oriented-box model, which answers with turned boxes; .*: pass detection"),
    ("classify", "yolo26n-cls.yaml", "is a classification model, which answers with one class .*: pass detection or"),
]


@pytest.mark.parametrize(("task", "description", "message"), REFUSED)
def test_another_task_is_refused(tmp_path: Path, task: str, description: str, message: str) -> None:
    types = {"segment": SegmentationModel, "obb": OBBModel, "classify": ClassificationModel}
    network = types[task](description, verbose=False)
    network.task = task
    path = tmp_path / "other.pt"
    torch.save({"model": network, "train_args": {}, "epoch": -1}, path)
    with pytest.raises(ExportError, match=message) as caught:
        _from_pt(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(ExportError, match=message):
        source_from_yaml(description, model="toy", sha256="", input_size=64)
    if task == "segment":
        source = source_from_pt(path, model="toy", sha256="", input_size=64, boxes_only=True)
        assert (source.task, source.raw_dims, source.keypoints) == ("detect", (84, 6), None)


@pytest.mark.parametrize(
    ("description", "head", "shape"),
    [("yolo26n-pose.yaml", "rows", (17, 3)), ("yolo11n-pose.yaml", "yolo_raw", (5, 2))],
)
def test_pose_weights_speak_the_frames_contract(
    tmp_path: Path, description: str, head: str, shape: tuple[int, int]
) -> None:
    """Whole and half network give the same boxes and points, those of two values with a visibility of 1."""
    torch.manual_seed(0)
    network = PoseModel(description, nc=2, data_kpt_shape=shape, verbose=False)
    network.task, network.names = "pose", {0: "cat", 1: "dog"}
    path = tmp_path / "pose.pt"
    torch.save({"model": network, "train_args": {}, "epoch": -1}, path)
    source = source_from_pt(path, model="toy", sha256="", input_size=64)
    layout = COCO_POSE if shape[0] == 17 else KeypointLayout(names=tuple(f"point{number}" for number in range(5)))
    assert (source.task, source.head, source.keypoints, source.row_width) == ("pose", head, layout, 6 + 3 * shape[0])
    frames = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    whole, half = (
        output_from_network(frames_network_from_source(source, precision=precision), frames)[0]
        for precision in ("fp32", "fp16")
    )
    assert whole.shape == (300, source.row_width)
    seen = whole[:84, 6:].reshape(84, shape[0], 3)[..., 2]
    assert (seen == 1).all() if shape[1] == 2 else ((seen > 0) & (seen < 1)).all()
    sides = np.abs(half[:84, None] - whole[None, :84])
    nearest = sides[..., :4].max(axis=2).argmin(axis=1)
    assert np.quantile(sides[np.arange(84), nearest].max(axis=1), 0.5) < 0.5


def test_the_boxes_of_pose_weights_alone(tmp_path: Path) -> None:
    network = PoseModel("yolo26n-pose.yaml", verbose=False)
    network.task = "pose"
    path = tmp_path / "pose.pt"
    torch.save({"model": network, "train_args": {}, "epoch": -1}, path)
    source = source_from_pt(path, model="toy", sha256="", input_size=64, boxes_only=True)
    assert (source.task, source.raw_dims, source.keypoints) == ("detect", (84, 6), None)


def _write_text(path: Path) -> None:
    path.write_text("these are not weights")


def _write_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "no model")


def _write_state_dict(path: Path) -> None:
    torch.save({"weight": torch.zeros(3)}, path)


def _write_tensor(path: Path) -> None:
    torch.save(torch.zeros(3), path)


def _write_nothing(path: Path) -> None:
    path.touch()


@pytest.mark.parametrize("write", [_write_text, _write_zip, _write_state_dict, _write_tensor, _write_nothing])
def test_what_is_not_a_model_is_refused_in_one_line(tmp_path: Path, write: object) -> None:
    path = tmp_path / "broken.pt"
    write(path)  # type: ignore[operator]
    with pytest.raises(ExportError, match="is not an Ultralytics model") as caught:
        _from_pt(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("description", ["nonsense.yaml", "yolo26n-seg.yaml"])
def test_a_description_of_no_detector_is_refused(description: str) -> None:
    with pytest.raises(ExportError, match=description):
        source_from_yaml(description, model="toy", sha256="", input_size=64)


def _save(path: Path, network: torch.nn.Module) -> Path:
    torch.save({"model": network, "train_args": {"imgsz": 64}, "epoch": -1}, path)
    return path


def _detector(*names: str, description: str = "yolov5nu.yaml", channels: int = 3) -> DetectionModel:
    network = DetectionModel(description, ch=channels, nc=len(names), verbose=False)
    network.names = dict(enumerate(names))
    return network


@pytest.mark.parametrize("name", ["yolov5n.pt", "it's mine.pt", " yolov5n.pt", "ünï.pt", "YOLOv5n.PT"])
def test_the_file_that_was_named_is_the_file_that_is_served(tmp_path: Path, name: str) -> None:
    """Ultralytics takes yolov5nu.pt where it is given yolov5n.pt, and drops quotes and spaces from names."""
    _save(tmp_path / "yolov5nu.pt", _detector("the other"))
    source = source_from_pt(_save(tmp_path / name, _detector("mine")), model="x", sha256="", input_size=64)
    assert (source.class_names, source.weights) == (("mine",), name)


def test_a_file_that_is_missing_is_not_another_one(tmp_path: Path) -> None:
    _save(tmp_path / "yolov5nu.pt", _detector("the other"))
    with pytest.raises(ExportError, match=r"yolov5n\.pt does not exist"):
        _from_pt(tmp_path / "yolov5n.pt")


def test_a_checkpoint_of_the_yolov5_repository_is_told_its_way_to_onnx(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, module = types.ModuleType("models"), types.ModuleType("models.yolo")
    model = type("DetectionModel", (torch.nn.Module,), {"__module__": "models.yolo"})
    module.DetectionModel = model  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "models", package)
        patch.setitem(sys.modules, "models.yolo", module)
        path = _save(tmp_path / "yolov5n.pt", model())
    with pytest.raises(ExportError, match=r"`python export\.py --weights yolov5n\.pt --include onnx`") as caught:
        _from_pt(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("channels", "words"), [(1, "1 channel;"), (4, "4 channels;")])
def test_other_channels_than_three_are_refused(tmp_path: Path, channels: int, words: str) -> None:
    path = _save(tmp_path / "grey.pt", _detector("mine", channels=channels))
    with pytest.raises(ExportError, match=f"grey.pt takes pictures of {words} .* detectors of 3"):
        _from_pt(path)


def test_names_of_a_checkpoint_are_taken_by_number(tmp_path: Path) -> None:
    names = [f"name{number}" for number in range(12)]
    network = _detector(*names)
    network.names = {key: names[int(key)] for key in sorted(map(str, range(12)))}
    assert source_from_pt(_save(tmp_path / "a.pt", network), model="a", sha256="", input_size=64).class_names == (
        *names,
    )
