from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from photofinish.errors import ExportError
from tests.export.tensorrt.variants import build

pytestmark = pytest.mark.usefixtures("rtx")


def test_fp32_graph_asked_for_as_fp16_is_refused(fp32_path: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ExportError, match=r"asked for as fp16 and computes in fp32 100 %.*Stayed behind: .*model\."
    ) as e:
        build(fp32_path, tmp_path / "1" / "model.plan")
    assert "take the FP16 graph that `photofinish export` makes" in str(e.value)
    assert not (tmp_path / "1").exists()


def test_uncalibrated_int8_is_refused(fp16_path: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"asked for as int8 and computes in fp16 100 %.*photofinish calibrate"):
        build(fp16_path, tmp_path / "1" / "model.plan", "int8")
    assert not (tmp_path / "1").exists()


def test_int8_with_fp32_around_it_is_refused(quantised: onnx.ModelProto, tmp_path: Path) -> None:
    onnx.save(quantised, tmp_path / "quantised.onnx")
    with pytest.raises(ExportError, match=r"asked for as int8 and 100 % of its layers give fp32"):
        build(tmp_path / "quantised.onnx", tmp_path / "1" / "model.plan", "int8")


def test_unsupported_operator_is_named(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Unheard", ["frames"], ["detections"], name="odd_one", domain="example")],
        "g",
        [helper.make_tensor_value_info("frames", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("detections", TensorProto.FLOAT, ["n", 4])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("example", 1)])
    onnx.save(model, tmp_path / "odd.onnx")
    with pytest.raises(ExportError, match=r"cannot read .*odd\.onnx: operator Unheard at node 'odd_one'"):
        build(tmp_path / "odd.onnx", tmp_path / "1" / "model.plan")


@pytest.mark.parametrize("content", [b"", b"not a graph at all"], ids=["empty", "nonsense"])
def test_file_that_is_no_graph(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(content)
    with pytest.raises(ExportError, match=r"broken\.onnx"):
        build(tmp_path / "broken.onnx", tmp_path / "1" / "model.plan")


def test_missing_graph(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"none\.onnx does not exist; run `photofinish export`"):
        build(tmp_path / "none.onnx", tmp_path / "1" / "model.plan")
