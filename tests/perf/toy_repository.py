"""A model repository with two tiny ONNX models, for tests and trials that need a real server but no real model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from photofinish.model_card import ModelCard
from tests.builders import build_card

_CONFIG = """name: "{name}"
backend: "onnxruntime"
max_batch_size: 8
input [ {{ name: "{input_name}" data_type: {input_type} dims: [ {input_dims} ] }} ]
output [ {{ name: "{output_name}" data_type: TYPE_FP32 dims: [ {output_dims} ] }} ]
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
parameters {{ key: "photofinish" value {{ string_value: {card} }} }}
"""


def toy_cards() -> dict[str, ModelCard]:
    baseline = build_card(
        variant="toy_torch_fp32_tensor", role="baseline", contract="tensor", backend="onnxruntime", head="rows"
    )
    return {baseline.variant: baseline, "toy_onnx_fp32": build_card()}


def write_toy_repository(folder: Path, **changes: Any) -> Path:
    """`toy_onnx_fp32` in the frames contract and `toy_torch_fp32_tensor` in the tensor contract, 64 by 64 pixels.

    changes: of both cards; another `model` names the folders too.
    """
    model = changes.get("model", "toy")
    for suffix, toy in toy_cards().items():
        name = suffix.replace("toy_", f"{model}_", 1)
        card = replace(toy, **{"variant": name, **changes})
        tensor = card.contract == "tensor"
        dims = [3, 64, 64] if tensor else [64, 64, 3]
        names = ("images", "output0") if tensor else ("frames", "detections")
        version = folder / name / "1"
        version.mkdir(parents=True)
        onnx.save(_mean_model(*names, dims, TensorProto.FLOAT if tensor else TensorProto.UINT8), version / "model.onnx")
        (folder / name / "config.pbtxt").write_text(
            _CONFIG.format(
                name=name,
                input_name=names[0],
                output_name=names[1],
                input_type="TYPE_FP32" if tensor else "TYPE_UINT8",
                input_dims=", ".join(map(str, dims)),
                output_dims="300, 6",
                card='"' + card.to_parameter().replace("\\", "\\\\").replace('"', '\\"') + '"',
            )
        )
    return folder


def _mean_model(input_name: str, output_name: str, dims: list[int], dtype: int) -> onnx.ModelProto:
    """Every output value is the mean of the picture."""
    nodes = [
        helper.make_node("Cast", [input_name], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels"], ["mean"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Squeeze", ["mean", "last_axis"], ["column"]),
        helper.make_node("Mul", ["column", "ones"], [output_name]),
    ]
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info(input_name, dtype, ["batch", *dims])],
        [helper.make_tensor_value_info(output_name, TensorProto.FLOAT, ["batch", 300, 6])],
        [
            helper.make_tensor("ones", TensorProto.FLOAT, [1, 300, 6], np.ones(1800, np.float32).tolist()),
            helper.make_tensor("last_axis", TensorProto.INT64, [1], [3]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.checker.check_model(model)
    return model
