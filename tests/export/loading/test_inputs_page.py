"""docs/inputs.md, weights and heads: every row of its tables is exported here, or by a test that is named here."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import get_args

import pytest

from photofinish.errors import ExportError
from photofinish.model_card import GIVEN_HEADS, GivenHead
from tests.docs.pages import is_table_row, read
from tests.export.conftest import SaveOnnx
from tests.export.loading.heads_onnx import HEADS, SEVERAL, save_outputs, several_outputs
from tests.export.loading.test_heads import assert_right_boxes, load

PAGE = read("docs/inputs.md")
TESTED = {
    "Ultralytics checkpoints": "loading.test_ultralytics:test_the_file_that_was_named_is_the_file_that_is_served",
    "checkpoints of the yolov5 and yolov7 repositories": (
        "loading.test_ultralytics:test_a_checkpoint_of_the_yolov5_repository_is_told_its_way_to_onnx"
    ),
    "descriptions": "loading.test_ultralytics:test_each_family_speaks_the_frames_contract",
    "ONNX": "loading.test_onnx:test_an_old_opset_is_raised_and_told_by_its_own_number",
    "ONNX in Photofinish's own frames contract": "loading.test_onnx:test_the_frames_contract_is_recognised",
    "weights for 1 or 4 channels": "loading.test_ultralytics:test_other_channels_than_three_are_refused",
    "Ultralytics pose checkpoints": "loading.test_ultralytics:test_pose_weights_speak_the_frames_contract",
    "face detectors with five landmarks": (
        "test_served_keypoints:test_every_variant_finds_what_the_original_runtime_finds"
    ),
    "segmentation weights": "loading.test_families:test_the_boxes_of_a_segmentation_file_alone",
    "YOLOE and YOLO-World": "loading.test_open_vocabulary:test_a_fused_head_answers_as_the_unfused_one",
    "prompt-free YOLOE": "loading.test_open_vocabulary:test_prompt_free_weights_have_their_own_classes",
    "other tasks: turned boxes, classes, depth": "loading.test_ultralytics:test_another_task_is_refused",
    "torchvision classifiers": "test_build:test_a_torchvision_classifier_goes_the_same_way",
}


def table(heading: str) -> list[list[str]]:
    """The cells of every row below the table's first heading."""
    lines = PAGE.splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith(f"| {heading} |")) + 2
    rows = []
    for line in lines[start:]:
        if not is_table_row(line):
            break
        rows.append([cell.strip() for cell in line.strip().strip("|").split("|")])
    return rows


@pytest.mark.parametrize("cells", table("head"), ids=lambda cells: cells[0])
def test_heads(cells: list[str], save_raw_onnx: SaveOnnx, tmp_path: Path) -> None:
    what, alone, asked = cells
    if what in SEVERAL:
        path = save_outputs(tmp_path / "several.onnx", several_outputs(what), sizes_input=what.startswith("D-FINE"))
    else:
        path = save_raw_onnx(HEADS[what](), influence=1e-6)
    option, outcome = asked.split("` ")
    head: GivenHead = next(name for name in GIVEN_HEADS if name == option.strip("`"))
    for given, expected in ((None, alone), (head, outcome)):
        if expected == "served":
            assert_right_boxes(load(path, given))
        else:
            assert expected == "refused"
            with pytest.raises(ExportError):
                load(path, given)


def test_every_option_stands_on_the_page() -> None:
    assert {cells[2].split("`")[1] for cells in table("head")} == set(get_args(GivenHead))


def test_weights_have_their_own_tests() -> None:
    assert {cells[0] for cells in table("weights")} == set(TESTED)
    for place in TESTED.values():
        module, _, name = place.partition(":")
        assert callable(getattr(importlib.import_module(f"tests.export.{module}"), name))
