from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from photofinish.errors import ExportError
from photofinish.export.graph.source import ModelSource
from photofinish.export.loading.onnx import source_from_onnx
from tests.export.conftest import SIZE, SaveOnnx, raw_yolo


def _load(path: Path, input_size: int | None = None) -> ModelSource:
    return source_from_onnx(path, model="toy", sha256="", input_size=input_size)


def test_names_and_stride_come_from_the_metadata(save_raw_onnx: SaveOnnx) -> None:
    names = {0: "cat", 1: "dög", 2: "fox"}
    source = _load(save_raw_onnx(raw_yolo(), metadata={"names": str(names), "stride": "16", "task": "detect"}))
    assert source.class_names == ("cat", "dög", "fox")
    assert source.stride == 16
    assert source.input_wh == (SIZE, SIZE)
    assert source.head == "yolo_raw"
    assert not source.nms_free


def test_without_metadata_classes_are_numbered(save_raw_onnx: SaveOnnx) -> None:
    assert _load(save_raw_onnx(raw_yolo())).class_names == ("class0", "class1", "class2")


def test_names_are_taken_by_their_number(save_raw_onnx: SaveOnnx) -> None:
    names = {"names": str({2: "fox", 0: "cat"})}
    assert _load(save_raw_onnx(raw_yolo(), metadata=names)).class_names == ("cat", "class1", "fox")


@pytest.mark.parametrize(
    "metadata",
    [
        {"stride": "wide"},
        {"stride": "[32]"},
        {"stride": "-1"},
        {"imgsz": "['a', 'b']"},
        {"imgsz": "-640"},
        {"imgsz": str(10**9)},
        {"names": "(" * 5000},
        {"names": "{[]: 1}"},
    ],
)
def test_metadata_that_nobody_can_use_is_not_believed(save_raw_onnx: SaveOnnx, metadata: dict[str, str]) -> None:
    path = save_raw_onnx(raw_yolo(), metadata=metadata)
    model = onnx.load(path)
    for dim in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        dim.dim_param = "side"
    onnx.save(model, path)
    source = _load(path)
    assert (source.stride, source.input_wh) == (32, (640, 640))
    assert source.class_names == ("class0", "class1", "class2")


@pytest.mark.parametrize("names", ["{0: 'cat', 'b': 'dog'}", "{-1: 'cat'}", "{1000000000: 'cat'}"])
def test_classes_without_a_number_are_refused(save_raw_onnx: SaveOnnx, names: str) -> None:
    path = save_raw_onnx(raw_yolo(), metadata={"names": names})
    with pytest.raises(ExportError, match=r"names classes \[.* expected numbers from 0"):
        _load(path)


def test_an_old_opset_is_raised_and_told_by_its_own_number(save_raw_onnx: SaveOnnx) -> None:
    path = save_raw_onnx(raw_yolo(), opset=11)
    model = onnx.load(path)
    model.opset_import.insert(0, helper.make_opsetid("ai.onnx.ml", 3))
    onnx.save(model, path)
    raised = _load(path).expect_onnx()
    assert {item.version for item in raised.opset_import if item.domain == ""} == {17}
    model.graph.node[0].op_type = "NoSuchOperator"
    onnx.save(model, path)
    with pytest.raises(ExportError, match="has opset 11, and cannot be raised to 17"):
        _load(path)


def test_a_fixed_batch_is_freed(save_raw_onnx: SaveOnnx) -> None:
    model = _load(save_raw_onnx(raw_yolo(), batch=1)).expect_onnx()
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def test_a_batch_that_cannot_be_freed_is_refused(tmp_path: Path) -> None:
    """Each picture's output depends on the whole batch."""
    raw = np.zeros((1, 7, 400), np.float32)
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
        helper.make_node("Add", ["mean", "raw"], ["output0"]),
    ]
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, 7, 400])],
        [onnx.numpy_helper.from_array(raw, "raw")],
    )
    path = tmp_path / "fixed.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    with pytest.raises(ExportError, match=r"fixed.onnx .*dynamic=True"):
        _load(path)


def test_a_dynamic_size_is_chosen_and_a_fixed_one_kept(save_raw_onnx: SaveOnnx) -> None:
    path = save_raw_onnx(raw_yolo())
    with pytest.raises(ExportError, match="fixed input of 64x64, --input-size asks for 96"):
        _load(path, input_size=96)
    model = onnx.load(path)
    for dim in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        dim.dim_param = "side"
    onnx.save(model, path)
    assert _load(path, input_size=96).input_wh == (96, 96)
    helper.set_model_props(model, {"imgsz": "[32, 128]"})
    onnx.save(model, path)
    assert _load(path).input_wh == (128, 32)


def test_the_frames_contract_is_recognised(tmp_path: Path) -> None:
    rows = np.zeros((1, 300, 6), np.float32)
    nodes = [
        helper.make_node("Cast", ["pictures"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats"], ["mean"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Squeeze", ["mean", "last"], ["column"]),
        helper.make_node("Add", ["column", "rows"], ["out"]),
    ]
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("pictures", TensorProto.UINT8, ["n", SIZE, SIZE, 3])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", 300, 6])],
        [onnx.numpy_helper.from_array(rows, "rows"), onnx.numpy_helper.from_array(np.array([3]), "last")],
    )
    path = tmp_path / "frames.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    source = _load(path)
    assert source.frames_contract
    model = source.expect_onnx()
    assert (model.graph.input[0].name, model.graph.output[0].name) == ("frames", "detections")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_type": TensorProto.FLOAT16}, "already FP16; pass the FP32 model"),
        ({"extra_input": True}, "2 inputs .*expected one"),
        ({"metadata": {"task": "segment"}}, "is a segmentation model, which answers with masks"),
        ({"metadata": {"names": "{0: 'only'}"}}, r"returns \[7, 400\] per picture with 1 class names; expected"),
    ],
)
def test_wrong_files_are_refused_with_the_reason(
    save_raw_onnx: SaveOnnx, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ExportError, match=message):
        _load(save_raw_onnx(raw_yolo(), **options))


def test_a_classifier_is_refused(save_raw_onnx: SaveOnnx) -> None:
    with pytest.raises(ExportError, match=r"returns \[1000\] per picture; expected detection rows"):
        _load(save_raw_onnx(np.zeros(1000, np.float32)))


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x07" * 50])
def test_what_is_not_onnx_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(ExportError, match="is not an ONNX model"):
        _load(path)
