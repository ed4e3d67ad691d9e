"""Data sets as the field has them: what comes out of each, in a table of neighbours."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from photofinish.errors import ConfigError, SourceError
from photofinish.perf.accuracy.labels import LabelledDataset
from tests.conftest import CHECKOUT
from tests.perf.accuracy.label_sets import LABEL, NAMES, write_files

Files = Mapping[str, str | bytes | None]
PAIR: Files = {"images/a.png": None, "labels/a.txt": LABEL}
BESIDE: Files = {"data/obj/a.png": None, "data/obj/a.txt": LABEL}

PATHS: dict[str, tuple[Files, str | None]] = {
    "Roboflow's val: ../valid/images": (
        {"valid/images/a.png": None, "valid/labels/a.txt": LABEL, "data.yaml": "val: ../valid/images\n" + NAMES}, None,
    ),
    "Roboflow's path under a key path that does not exist": (
        {"valid/images/a.png": None, "valid/labels/a.txt": LABEL,
         "data.yaml": "path: ../datasets/roboflow\nval: ../valid/images\n" + NAMES}, None,
    ),
    "the separators of Windows": (
        {"valid/images/a.png": None, "valid/labels/a.txt": LABEL, "data.yaml": "val: valid\\images\n" + NAMES}, None,
    ),
    "Roboflow's path with the separators of Windows": (
        {"valid/images/a.png": None, "valid/labels/a.txt": LABEL, "data.yaml": "val: ..\\valid\\images\n" + NAMES},
        None,
    ),
    "an absolute path of another machine": (
        {"valid/images/a.png": None, "valid/labels/a.txt": LABEL,
         "data.yaml": "val: /content/street-1/valid/images\n" + NAMES}, "/content/street-1/valid/images does not exist",
    ),
    "an absolute path of a Windows machine": (
        {"valid/images/a.png": None, "valid/labels/a.txt": LABEL,
         "data.yaml": "val: C:\\Users\\me\\valid\\images\n" + NAMES}, "does not exist here",
    ),
    "an absolute key path of another machine": (
        {**PAIR, "data.yaml": "path: /content/street\nval: images\n" + NAMES}, None,
    ),
    "a list relative to itself": (
        {**PAIR, "data.yaml": "val: val.txt\n" + NAMES, "val.txt": "./images/a.png\n"}, None,
    ),
    "darknet's list, relative to the folder that darknet ran in": (
        {**BESIDE, "data.yaml": "val: data/val.txt\n" + NAMES, "data/val.txt": "data/obj/a.png\n"}, None,
    ),
    "darknet's list from its build folder": (
        {**BESIDE, "data.yaml": "val: data/val.txt\n" + NAMES, "data/val.txt": "build/x64/data/obj/a.png\n"},
        "1 pictures of val.txt do not lie where it says",
    ),
    "a list with absolute paths of a Windows machine, in CRLF": (
        {**PAIR, "data.yaml": "val: val.txt\n" + NAMES, "val.txt": "D:\\street\\images\\a.png\r\n"},
        "1 pictures of val.txt do not lie where it says",
    ),
    "a list with a byte-order mark": (
        {**PAIR, "data.yaml": "val: val.txt\n" + NAMES, "val.txt": b"\xef\xbb\xbfimages/a.png\n"}, None,
    ),
    "a list in UTF-16, as PowerShell writes it": (
        {**PAIR, "data.yaml": "val: val.TXT\n" + NAMES, "val.TXT": "images/a.png\r\n".encode("utf-16")}, None,
    ),
    "a picture that is listed twice": (
        {**PAIR, "data.yaml": "val: val.txt\n" + NAMES, "val.txt": "images/a.png\n./images/a.png\n"},
        "1 pictures are listed twice and counted once",
    ),
    "._ files of macOS, on the disk and in the list": (
        {**PAIR, "images/._a.png": b"\0\5\26\7", "labels/._a.txt": b"\0\5\26\7",
         "data.yaml": "val: [val.txt, images]\n" + NAMES, "val.txt": "images/._a.png\n"}, None,
    ),
    "suffixes and folders in capitals": (
        {"Images/A.PNG": None, "Labels/A.TXT": LABEL, "data.yaml": "val: Images\n" + NAMES}, None,
    ),
    "labels beside the pictures in images/": (
        {"images/a.png": None, "images/a.txt": LABEL, "data.yaml": "val: images\n" + NAMES}, None,
    ),
    "a data.yaml with a byte-order mark": (
        {**PAIR, "data.yaml": b"\xef\xbb\xbfval: images\nnames: [car, bus]\n"}, None,
    ),
    "names with numbers as text": ({**PAIR, "data.yaml": "val: images\nnames: {'1': bus, '0': car}\n"}, None),
    "nc that is not the number of names": (
        {**PAIR, "data.yaml": "val: images\nnc: 80\n" + NAMES}, "nc says 80 classes, names lists 2",
    ),
    "an empty val beside a test": ({**PAIR, "data.yaml": "val:\ntest: images\n" + NAMES}, None),
}  # fmt: skip
"""What a data set is like: its files, and what its notes must say; None: nothing, all is as it should be."""


@pytest.mark.parametrize("case", PATHS)
def test_one_picture_with_one_car_is_found(tmp_path: Path, case: str) -> None:
    files, note = PATHS[case]
    dataset = LabelledDataset(write_files(tmp_path / "street", files))
    (frame,) = dataset.frames()
    assert frame.truth is not None
    assert frame.truth.boxes_xyxy.round(3).tolist() == [[40, 15, 60, 35]]
    assert dataset.class_names == ("car", "bus")
    assert (note or "") in " ".join(dataset.notes)
    assert bool(dataset.notes) == (note is not None)


LABELS: dict[str, tuple[str | bytes, list[list[float]], str | None]] = {
    "a box over the border": ("0 0.98 0.5 0.1 0.4\n", [[93, 15, 100, 35]], "border and were clipped: 1"),
    "a box over two borders": ("1 0.0 0.0 0.4 0.4\n", [[0, 0, 20, 10]], "border and were clipped: 1"),
    "a box that rounding put over the border": ("0 0.95 0.5 0.105 0.4", [[89.75, 15, 100, 35]], None),
    "a polygon over the border": ("0 0.5 0.2 1.2 0.2 0.8 0.8", [[50, 10, 100, 40]], "border and were clipped: 1"),
    "the same label twice": (LABEL + LABEL, [[40, 15, 60, 35]], "stand twice in their file and were counted once: 1"),
    "the same label three times, once with its class as a float": (
        LABEL + "0.0 0.50 0.5 0.2 0.4\n" + LABEL, [[40, 15, 60, 35]], "counted once: 2",
    ),
    "one box of two classes": (LABEL + "1" + LABEL[1:], [[40, 15, 60, 35]] * 2, None),
    "a byte-order mark": (b"\xef\xbb\xbf" + LABEL.encode(), [[40, 15, 60, 35]], None),
    "UTF-16, as PowerShell writes it": (LABEL.encode("utf-16"), [[40, 15, 60, 35]], None),
    "CRLF, tabs and empty lines": ("\r\n0\t0.5\t0.5\t0.2\t0.4\r\n\r\n", [[40, 15, 60, 35]], None),
    "a class number as a float": ("1.0 0.5 0.5 0.2 0.4", [[40, 15, 60, 35]], None),
    "segments among boxes": (LABEL + "0 0.1 0.2 0.5 0.2 0.3 0.8", [[40, 15, 60, 35], [10, 10, 50, 40]], None),
    "an oriented box": ("0 0.3 0.2 0.5 0.4 0.3 0.6 0.1 0.4", [[10, 10, 50, 30]], None),
    "a box without an area": (LABEL + "0 0.2 0.2 0 0.1", [[40, 15, 60, 35]], "no area and were left out: 1"),
}  # fmt: skip
"""What a label file is like: its text, the boxes in pixels, and what the notes must say."""


@pytest.mark.parametrize("case", LABELS)
def test_labels_are_read_as_they_are_meant(tmp_path: Path, case: str) -> None:
    text, boxes, note = LABELS[case]
    files: Files = {"images/a.png": None, "labels/a.txt": text, "data.yaml": "val: images\n" + NAMES}
    dataset = LabelledDataset(write_files(tmp_path, files))
    (frame,) = dataset.frames()
    assert frame.truth is not None
    assert frame.truth.boxes_xyxy.round(2).tolist() == boxes
    assert (note or "") in " ".join(dataset.notes)
    assert bool(dataset.notes) == (note is not None)


def test_the_boxes_of_a_pose_data_set_are_read_without_its_points(tmp_path: Path) -> None:
    document = "val: images\nkpt_shape: [17, 2]\n" + NAMES
    files: Files = {"images/a.png": None, "labels/a.txt": LABEL.strip() + " 0.9" * 34, "data.yaml": document}
    (frame,) = LabelledDataset(write_files(tmp_path, files)).frames()
    assert frame.truth is not None
    assert frame.truth.boxes_xyxy.round(3).tolist() == [[40, 15, 60, 35]]


REFUSED: dict[str, tuple[Files, str]] = {
    "the whole file system": ({"data.yaml": "val: /\n" + NAMES}, "is the whole file system"),
    "a folder of another machine whose name alone is here": (
        {**PAIR, "data.yaml": "val: /content/street-1/images\n" + NAMES}, "/content/street-1/images does not exist",
    ),
    "a name that is too long for a file": ({**PAIR, "data.yaml": f"val: {'a' * 5000}\n{NAMES}"}, "does not exist"),
    "a split that is a mapping": ({**PAIR, "data.yaml": "val: {images: 1}\n" + NAMES}, "val must be a folder"),
    "names that are lists": ({**PAIR, "data.yaml": "val: images\nnames: [[car]]\n"}, "names must list the classes"),
    "a merge key": ({**PAIR, "data.yaml": "a: &a {val: images}\n<<: *a\n" + NAMES}, "cannot be read"),
    "a date that is none": ({**PAIR, "data.yaml": "val: images\ndate: 2024-13-45\n" + NAMES}, "cannot be read"),
    "brackets without an end": ({**PAIR, "data.yaml": "[" * 5000}, "cannot be read"),
    "names in Latin-1": ({**PAIR, "data.yaml": b"val: images\nnames: [Stra\xdfe]\n"}, "save it as UTF-8"),
    "a list of pictures that are not there": (
        {**PAIR, "data.yaml": "val: v.txt\n" + NAMES, "v.txt": "b.png\nc.png\n"},
        "2 of 2 pictures cannot be used: .*v.txt lists b.png, which does not exist",
    ),
    "labels in pixels": (
        {**PAIR, "labels/a.txt": "0 64 32 20 20", "data.yaml": "val: images\n" + NAMES}, "lies outside its picture",
    ),
    "labels with a confidence": (
        {**PAIR, "labels/a.txt": "0 0.5 0.5 0.2 0.4 0.9", "data.yaml": "val: images\n" + NAMES}, "6 numbers found",
    ),
    "labels with commas": (
        {**PAIR, "labels/a.txt": "0,0.5,0.5,0.2,0.4", "data.yaml": "val: images\n" + NAMES}, "is not a label",
    ),
}  # fmt: skip
"""What a data set is like that gives one clear line."""


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_gets_one_line(tmp_path: Path, case: str) -> None:
    files, message = REFUSED[case]
    with pytest.raises(ConfigError, match=message) as caught:
        LabelledDataset(write_files(tmp_path, files))
    assert "\n" not in str(caught.value)


def test_an_absolute_list_named_like_our_folder_is_found(tmp_path: Path) -> None:
    files = {**PAIR, "data.yaml": "val: /content/street/images\n" + NAMES}
    assert LabelledDataset(write_files(tmp_path / "street", files)).size == 1


def _many(count: int, **changed: Any) -> dict[str, str | bytes | None]:
    files: dict[str, str | bytes | None] = {"data.yaml": "val: images\n" + NAMES}
    for index in range(count):
        files |= {f"images/{index:02}.png": None, f"labels/{index:02}.txt": LABEL}
    return files | {name.replace("_", "/", 1) + ".txt": value for name, value in changed.items()}


def test_a_picture_with_unreadable_labels_is_left_out_and_named(tmp_path: Path) -> None:
    files = _many(30, labels_03=b"\0\xff\xfe", labels_07="9 0.5 0.5 0.2 0.4") | {"images/11.png": b"\x89PNG\r\n\x1a\n"}
    dataset = LabelledDataset(write_files(tmp_path, files))
    assert dataset.size == len(list(dataset.frames())) == len(dataset.paths) == 27
    (note,) = dataset.notes
    assert "pictures that were left out: 3 of 30" in note
    assert all(name in note for name in ("03.txt", "07.txt, line 1: class 9", "11.png"))


def test_more_than_a_tenth_is_too_many(tmp_path: Path) -> None:
    changed = {f"labels_{index:02}": "words" for index in range(4)}
    with pytest.raises(ConfigError, match=r"4 of 30 pictures cannot be used: .*00\.txt, line 1: 'words'"):
        LabelledDataset(write_files(tmp_path, _many(30, **changed)))


def test_a_folder_of_damaged_pictures_is_refused_by_the_first(tmp_path: Path) -> None:
    files: Files = {"images/a.png": b"", "labels/a.txt": LABEL, "data.yaml": "val: images\n" + NAMES}
    with pytest.raises(SourceError, match=r"a\.png"):
        LabelledDataset(write_files(tmp_path, files))


def test_a_file_name_that_is_not_utf8_is_a_name(tmp_path: Path) -> None:
    path = write_files(tmp_path, {**PAIR, "data.yaml": "val: images\n" + NAMES})
    for folder, suffix in (("images", ".png"), ("labels", ".txt")):
        (tmp_path / folder / f"a{suffix}").rename(tmp_path / folder / os.fsdecode(b"\xff" + suffix.encode()))
    assert LabelledDataset(path).size == 1


@pytest.mark.parametrize(
    ("name", "note"),
    [("apple", None), ("border", "clipped: 1"), ("duplicate", "counted once: 1"), ("roboflow", None)],
)
def test_the_collected_data_sets(test_data: Path, name: str, note: str | None) -> None:
    dataset = LabelledDataset(test_data / "field" / "data" / name / "data.yaml")
    assert dataset.size == 1
    assert sum(len(frame.truth or ()) for frame in dataset.frames()) == (2 if name == "border" else 1)
    assert (note or "") in " ".join(dataset.notes)
    assert bool(dataset.notes) == (note is not None)


def test_every_row_of_the_table_of_labels_has_its_case() -> None:
    text = (CHECKOUT / "docs" / "inputs.md").read_text(encoding="utf-8")
    section = text.partition("\n## Labels\n")[2].partition("\n## ")[0]
    cases = [line.rstrip("| ").rpartition(" | ")[2] for line in section.splitlines() if line.startswith("|")]
    named = [case for case in cases if case not in ("case", "---")]
    assert len(named) > 20
    assert [case for case in named if case not in {**PATHS, **LABELS, **REFUSED} and case not in globals()] == []
