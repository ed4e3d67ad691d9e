"""data.yaml: what is read, and one clear line for what is wrong."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from photofinish.errors import ConfigError, SourceError
from photofinish.perf.accuracy.labels import LabelledDataset

YAML = "path: .\nval: images/val\nnames:\n  0: car\n  1: bus\n"


def write_data(folder: Path, labels: dict[str, str | None], *, document: str = YAML) -> Path:
    """A data set of 100 x 50 pictures; a label of None writes no file."""
    for name, text in labels.items():
        image = folder / "images" / "val" / f"{name}.png"
        image.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(image), np.full((50, 100, 3), 90, np.uint8))
        (folder / "labels" / "val").mkdir(parents=True, exist_ok=True)
        if text is not None:
            (folder / "labels" / "val" / f"{name}.txt").write_text(text)
    path = folder / "data.yaml"
    path.write_text(document)
    return path


def test_boxes_come_in_pixels(tmp_path: Path) -> None:
    dataset = LabelledDataset(write_data(tmp_path, {"a": "1 0.5 0.5 0.2 0.4\n"}))
    (frame,) = dataset.frames()
    assert frame.truth is not None
    np.testing.assert_allclose(frame.truth.boxes_xyxy, [[40, 15, 60, 35]], atol=1e-4)
    assert frame.truth.class_id.tolist() == [1]
    assert dataset.class_names == ("car", "bus")


def test_empty_and_missing_label_files_mean_no_objects(tmp_path: Path) -> None:
    dataset = LabelledDataset(write_data(tmp_path, {"a": "0 0.5 0.5 0.2 0.4", "b": "", "c": None}))
    assert [len(frame.truth or ()) for frame in dataset.frames()] == [1, 0, 0]


def test_polygons_become_boxes(tmp_path: Path) -> None:
    dataset = LabelledDataset(write_data(tmp_path, {"a": "0 0.1 0.2 0.5 0.2 0.3 0.8"}))
    (frame,) = dataset.frames()
    assert frame.truth is not None
    np.testing.assert_allclose(frame.truth.boxes_xyxy, [[10, 10, 50, 40]], atol=1e-4)


def test_boxes_a_little_outside_are_clipped(tmp_path: Path) -> None:
    dataset = LabelledDataset(write_data(tmp_path, {"a": "0 0.95 0.5 0.105 0.4"}))
    (frame,) = dataset.frames()
    assert frame.truth is not None
    assert frame.truth.boxes_xyxy[0, 2] == 100


def test_limit_spreads_evenly_and_changes_the_hash(tmp_path: Path) -> None:
    path = write_data(tmp_path, {name: "0 0.5 0.5 0.2 0.4" for name in "abcdefgh"})
    whole, half = LabelledDataset(path), LabelledDataset(path, limit=4)
    assert (whole.size, half.size) == (8, 4)
    assert whole.sha256 != half.sha256


def test_names_as_a_list_and_a_list_of_pictures(tmp_path: Path) -> None:
    document = "val: val.txt\nnames: [car, bus]\n"
    path = write_data(tmp_path, {"a": "0 0.5 0.5 0.2 0.4", "b": None}, document=document)
    (tmp_path / "val.txt").write_text("./images/val/a.png\n")
    assert LabelledDataset(path).size == 1


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("0 1.4 0.5 0.2 0.4", r"a\.txt, line 1: the box .* lies outside its picture"),
        ("nan 0.5 0.5 0.2 0.4", r"line 1: class nan does not exist"),
        ("inf 0.5 0.5 0.2 0.4", r"line 1: class inf does not exist"),
        ("0 0.5 0.5 nan 0.4", r"line 1: the box .* lies outside its picture"),
        ("0 0.5 0.5 -0.2 0.4", r"line 1: the box .* has a negative width or height"),
        ("0 64 32 20 20", r"a\.txt, line 1: the box .* lies outside its picture"),
        ("7 0.5 0.5 0.2 0.4", r"a\.txt, line 1: class 7 does not exist; data\.yaml names 2 classes"),
        ("0 0.5 0.5", r"a\.txt, line 1: 3 numbers found; expected class cx cy width height"),
        ("car 0.5 0.5 0.2 0.4", r"a\.txt, line 1: 'car 0\.5 0\.5 0\.2 0\.4' is not a label"),
        ("", r"none of the 1 pictures has a labelled object"),
    ],
)
def test_wrong_labels_are_named(tmp_path: Path, label: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LabelledDataset(write_data(tmp_path, {"a": label}))


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("names: [car", "cannot be read"),
        ("just text", "is not a data.yaml"),
        ("names: [car, bus]\n", "names no pictures: expected one of the keys val, test, train"),
        ("val: nowhere\nnames: [car]\n", "nowhere does not exist"),
        ("val: images/val\nnc: 2\n", "names must list the classes"),
        ("val: images/val\nnames: {1: car}\n", "names must list the classes"),
        ("val: labels\nnames: [car]\n", "holds no pictures"),
    ],
)
def test_wrong_documents_are_named(tmp_path: Path, document: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LabelledDataset(write_data(tmp_path, {"a": "0 0.5 0.5 0.2 0.4"}, document=document))


def test_missing_label_folder_is_named(tmp_path: Path) -> None:
    path = write_data(tmp_path, {"a": None})
    (tmp_path / "labels" / "val").rmdir()
    with pytest.raises(ConfigError, match=r"no label folder .*labels/val"):
        LabelledDataset(path)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.yaml cannot be read"):
        LabelledDataset(tmp_path / "data.yaml")


def test_damaged_picture_is_named(tmp_path: Path) -> None:
    path = write_data(tmp_path, {"a": "0 0.5 0.5 0.2 0.4"})
    (tmp_path / "images" / "val" / "a.png").write_bytes(b"")
    with pytest.raises(SourceError, match=r"a\.png"):
        list(LabelledDataset(path).frames())


def test_real_labels(test_data: Path) -> None:
    dataset = LabelledDataset(test_data / "coco_val2017_128" / "data.yaml")
    assert (dataset.size, len(dataset.class_names)) == (128, 80)
    assert sum(len(frame.truth or ()) for frame in dataset.frames()) == 898
