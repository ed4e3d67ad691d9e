"""Class names as strangers write them: the right name for each class, or one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from photofinish.errors import ConfigError, ExportError
from photofinish.export.loading.class_names import class_names_from_file, names_by_number
from photofinish.export.loading.onnx import source_from_onnx
from photofinish.export.loading.told import Told, told_from_options
from tests.export.conftest import SaveOnnx
from tests.export.loading.heads_onnx import yolo_raw

TWELVE = tuple(f"name{number}" for number in range(12))
THREE = ("cat", "dog", "fox")


@pytest.mark.parametrize(
    "text",
    [
        str(dict(enumerate(TWELVE))),
        json.dumps({str(number): name for number, name in enumerate(TWELVE)}),
        str({str(number): name for number, name in sorted(enumerate(TWELVE), key=lambda item: str(item[0]))}),
        json.dumps(TWELVE),
        str(list(TWELVE)),
        str(TWELVE),
        str(dict(enumerate(TWELVE, start=1))),
        str({number * 3: name for number, name in enumerate(TWELVE)}),
        str(dict(reversed(list(enumerate(TWELVE))))),
    ],
    ids=["dict", "JSON", "keys sorted as text", "JSON list", "list", "tuple", "from 1", "with gaps", "backwards"],
)
def test_twelve_names_in_metadata(save_raw_onnx: SaveOnnx, text: str) -> None:
    """Of twelve, class 2 comes behind class 10 and 11 where numbers are sorted as text."""
    path = save_raw_onnx(yolo_raw(classes=12), metadata={"names": text})
    assert source_from_onnx(path, model="toy", sha256="", input_size=None).class_names == TWELVE


def test_json_that_is_no_python_is_read(save_raw_onnx: SaveOnnx) -> None:
    metadata = {"names": '{"0": "cat", "1": null, "2": "fox"}', "imgsz": "[null, null]", "stride": "[8, 16, 64]"}
    source = source_from_onnx(save_raw_onnx(yolo_raw(), metadata=metadata), model="toy", sha256="", input_size=None)
    assert (source.class_names, source.stride) == (("cat", "None", "fox"), 64)


@pytest.mark.parametrize(
    "told", [{"a": "cat"}, {True: "cat"}, {"-1": "cat"}, {1.5: "cat"}, {"1" * 50: "x"}, {"²": "x"}]
)
def test_keys_that_are_no_class_numbers_are_refused(told: object) -> None:
    with pytest.raises(ExportError, match=r"toy names classes \[.* expected numbers from 0 to 99999: .* --names FILE"):
        names_by_number(told, "toy")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("data.yaml", "names: [cat, dog, fox]\n"),
        ("data.yaml", "\ufeffval: x\nnames:\n  0: cat\n  1: dog\n  2: fox\n"),
        ("data.yaml", "names: {'2': fox, '0': cat, '1': dog}\n"),
        ("data.yaml", "names: {1: cat, 2: dog, 3: fox}\n"),
        ("names.json", '["cat", "dog", "fox"]'),
        ("names.json", '{"names": {"0": "cat", "1": "dog", "2": "fox"}}'),
        ("classes.txt", "cat\ndog\r\n\nfox\n"),
        ("coco.names", "\ufeffcat\ndog\nfox"),
    ],
)
def test_a_file_of_names(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8", newline="")
    assert class_names_from_file(path, "--names") == THREE


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("data.yaml", b"names: [cat"),
        ("data.yaml", b"names: 3"),
        ("data.yaml", b""),
        ("names.json", b"{"),
        ("names.json", b"[" * 100_000),
        ("classes.txt", b""),
        ("classes.txt", b"\xff\xfe\x00c"),
        ("missing.txt", None),
    ],
)
def test_a_file_without_names_is_refused(tmp_path: Path, name: str, content: bytes | None) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"^--names .* (cannot be read|holds no class names).*; expected a data.yaml"):
        class_names_from_file(path, "--names")


def test_names_of_the_user_count_more_than_those_of_the_file(save_raw_onnx: SaveOnnx) -> None:
    for metadata in ({}, {"names": "{0: 'a', 1: 'b', 2: 'c'}"}, {"names": "{'x': 'y'}"}):
        path = save_raw_onnx(yolo_raw(), metadata=metadata)
        told = Told(class_names=THREE)
        assert source_from_onnx(path, model="toy", sha256="", input_size=None, told=told).class_names == THREE


def test_names_of_another_number_are_refused(save_raw_onnx: SaveOnnx) -> None:
    path = save_raw_onnx(yolo_raw())
    with pytest.raises(ExportError, match="with 2 class names"):
        source_from_onnx(path, model="toy", sha256="", input_size=None, told=Told(class_names=THREE[:2]))
    told = Told(head="yolo_raw", class_names=THREE[:2])
    with pytest.raises(ExportError, match=r"2 class names; as a YOLO head .* it has 3 classes: .* --names FILE"):
        source_from_onnx(path, model="toy", sha256="", input_size=None, told=told)


@pytest.mark.parametrize(("names", "expected"), [(THREE, THREE), (THREE[:2], ("class0", "class1", "class2"))])
def test_names_of_the_data_serve_where_their_number_agrees(
    save_raw_onnx: SaveOnnx, names: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    told = Told(data_names=names)
    source = source_from_onnx(save_raw_onnx(yolo_raw()), model="toy", sha256="", input_size=None, told=told)
    assert source.class_names == expected
    assert len(source.notices) == (names == THREE)


def test_options_for_other_weights_are_refused(tmp_path: Path) -> None:
    assert told_from_options("toy.pt", None, None, tmp_path) == Told()
    with pytest.raises(ConfigError, match=r"--head and --names are for \.onnx files; toy\.pt has its own"):
        told_from_options("toy.pt", "yolox", tmp_path / "names.txt", None)
    data = tmp_path / "data.yaml"
    data.write_text("names: [cat, dog, fox]\nval: images\n")
    assert told_from_options("toy.onnx", None, None, data) == Told(data_names=THREE)
    assert told_from_options("toy.onnx", "rows", data, data) == Told(head="rows", class_names=THREE, names_file=data)
