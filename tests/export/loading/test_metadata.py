"""What strangers write into an ONNX file's metadata: a value that can be used, a default, or one line; no traceback."""

from __future__ import annotations

import random
from pathlib import Path

import onnx
import pytest

from photofinish.errors import ExportError
from photofinish.export.loading.class_names import names_of_classes
from photofinish.export.loading.metadata import MAX_SIDE, metadata_from_model
from photofinish.export.loading.onnx import source_from_onnx
from tests.export.conftest import SaveOnnx
from tests.export.loading.heads_onnx import yolo_raw

MUTATIONS = 200
LOADED_EVERY = 10
"""Of the mutations, how many are loaded whole; the metadata of all is read."""
SEEDS = {
    "names": ("{0: 'cat', 1: 'dog', 2: 'fox'}", '{"0": "cat", "1": "dog", "2": null}', "['cat', 'dog', 'fox']", "3"),
    "stride": ("32", "[8, 16, 32]", "32.0", "None", "1e999", "nan"),
    "imgsz": ("[640, 640]", "640", "[None, None]", "(640,)", '["640", true]'),
    "task": ("detect", "pose", "", "None", "['detect']", "{}"),
}
PIECES = (
    "{",
    "}",
    "[",
    "(" * 300,
    "'",
    '"',
    ":",
    ",",
    "-",
    "9" * 5000,
    "\0",
    "\n",
    "²",
    "街",
    "\\ud800",
    "None",
    "true",
    "1e999",
)


def mutated(text: str, chance: random.Random) -> str:
    for _ in range(chance.choice((0, 1, 1, 2, 5))):
        at = chance.randrange(len(text) + 1)
        cut = text[at + chance.randrange(4) :]
        text = text[:at] + (chance.choice(PIECES) if chance.random() < 0.7 else "") + cut
    return text


def props(model: onnx.ModelProto, values: dict[str, str]) -> onnx.ModelProto:
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, values)
    return model


@pytest.mark.parametrize(
    ("stride", "expected"),
    [("[8, 16, 32]", 32), ("64", 64), ("(16,)", 16), ("32.0", 32), ("[]", 32), ("[8, 'x']", 32), ("1e999", 32)],
)
def test_a_stride_may_be_a_list(stride: str, expected: int) -> None:
    assert metadata_from_model(props(onnx.ModelProto(), {"stride": stride}), Path("toy.onnx")).stride == expected


@pytest.mark.parametrize(
    ("imgsz", "expected"),
    [
        ("[None, None]", (640, 640)),
        ("None", (640, 640)),
        ("[320]", (320, 320)),
        ("[32, 128]", (128, 32)),
        ("96", (96, 96)),
    ],
)
def test_a_size_may_be_none(imgsz: str, expected: tuple[int, int]) -> None:
    assert metadata_from_model(props(onnx.ModelProto(), {"imgsz": imgsz}), Path("toy.onnx")).trained_wh == expected


def test_another_task_is_told_in_one_short_line(save_raw_onnx: SaveOnnx) -> None:
    path = save_raw_onnx(yolo_raw(), metadata={"task": "pose\n" + "x" * 5000})
    with pytest.raises(ExportError, match="is a model for pose x") as caught:
        source_from_onnx(path, model="toy", sha256="", input_size=None)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_mutated_metadata_ends_in_no_traceback(save_raw_onnx: SaveOnnx) -> None:
    chance = random.Random(14)
    path = save_raw_onnx(yolo_raw())
    model = onnx.load(path)
    understood, refusals = 0, []
    for number in range(MUTATIONS):
        props(model, {key: mutated(chance.choice(values), chance) for key, values in SEEDS.items()})
        try:
            told = metadata_from_model(model, path)
            assert 1 <= told.stride <= MAX_SIDE
            assert all(1 <= side <= MAX_SIDE for side in told.trained_wh)
            assert len(names_of_classes(told.names, 3)) == 3
            if number % LOADED_EVERY == 0:
                onnx.save(model, path)
                assert len(source_from_onnx(path, model="toy", sha256="", input_size=None).class_names) == 3
            understood += 1
        except ExportError as exc:
            refusals.append(str(exc))
    assert understood > MUTATIONS / 2
    assert refusals
    assert all("\n" not in refusal and len(refusal) < 1000 for refusal in refusals), "one line each"
