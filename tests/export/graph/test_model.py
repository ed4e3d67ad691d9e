from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from photofinish.errors import ExportError
from photofinish.export.graph.fp16 import fp16_model_from_fp32
from photofinish.export.graph.model import image_input, model_with_node_names, model_with_opset, opset_version
from photofinish.export.int8.graph import layers_from_model


def chain(*names: str, opsets: tuple[tuple[str, int], ...] = (("", 17),)) -> ModelProto:
    """Convolutions one after the other, each of 4 channels, with these names."""
    values = ["images", *(f"value{index}" for index in range(1, len(names))), "output0"]
    nodes = [
        helper.make_node("Conv", [values[index], "weights"], [values[index + 1]], name=name)
        for index, name in enumerate(names)
    ]
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 4, 8, 8])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, ["batch", 4, 8, 8])],
        [numpy_helper.from_array(np.ones((4, 4, 1, 1), np.float32), "weights")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid(*opset) for opset in opsets], ir_version=8)


@pytest.mark.parametrize(
    "given",
    [
        ("", "", ""),
        ("stem", "stem", "head"),
        ("Conv_1", "", "Conv_2"),
        ("", "Conv_2", "", "Conv_0"),
        ("a", "a", "a_1", "a", "a_3"),
    ],
)
def test_every_node_gets_a_name_of_its_own(given: tuple[str, ...]) -> None:
    """What is made up must not be another node's name, whether that comes earlier or later."""
    model = chain(*given)
    named = [node.name for node in model_with_node_names(model).graph.node]
    assert len(set(named)) == len(named)
    assert all(was in ("", now) for was, now in zip(given, named, strict=True) if given.count(was) == 1)
    assert [node.name for node in model.graph.node] == list(given)
    assert len(layers_from_model(model_with_node_names(model))) == len(given)
    assert len(fp16_model_from_fp32(model).graph.node) >= len(given)


def test_the_opset_is_that_of_the_standard_operators() -> None:
    assert opset_version(chain("a", opsets=(("ai.onnx.ml", 3), ("", 15)))) == 15
    assert opset_version(chain("a", opsets=(("ai.onnx", 16),))) == 16
    model = chain("a", opsets=(("ai.onnx.ml", 3), ("", 13)))
    assert model_with_opset(model, "it", lowest=13) is model
    assert opset_version(model_with_opset(model, "it", lowest=17)) == 17
    model.graph.node[0].op_type = "NoSuchOperator"
    with pytest.raises(ExportError, match=r"^it has opset 13, and cannot be raised to 19 \(.+\); export it again"):
        model_with_opset(model, "it", lowest=19)


def test_one_input_is_the_picture() -> None:
    model = chain("a")
    model.graph.input.append(helper.make_tensor_value_info("weights", TensorProto.FLOAT, [4, 4, 1, 1]))
    assert image_input(model).name == "images"
    model.graph.input.append(helper.make_tensor_value_info("scale", TensorProto.FLOAT, [1]))
    with pytest.raises(ExportError, match=r"2 inputs \(images, scale\)"):
        image_input(model)
