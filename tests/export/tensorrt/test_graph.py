"""The graphs engines are built from, run by ONNX Runtime on a trained detector: they find what FP32 finds."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from photofinish.errors import ExportError
from photofinish.export.graph.session import output_from_onnx
from photofinish.export.int8.graph import layer_inputs, quantised_from_limits
from photofinish.export.loading.weights import find_weights, load_source
from photofinish.export.recipes.context import BuildContext
from photofinish.export.tensorrt.graph import fp8_model_from_int8, fp16_model_around_int8


@pytest.fixture(scope="module")
def coco(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> BuildContext:
    weights = test_data / "weights" / "yolo26n_coco_rebuilt.pt"
    source = load_source(find_weights(str(weights)), input_size=320)
    return BuildContext(
        source=source, device="cpu", work_dir=tmp_path_factory.mktemp("w"), on_progress=lambda line: None
    )


@pytest.fixture(scope="module")
def quantised_coco(coco: BuildContext) -> onnx.ModelProto:
    """Calibrated on the pictures it is then tried on: this tests the graphs, not the calibration."""
    model = onnx.ModelProto()
    model.CopyFrom(coco.frames_onnx)
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"node_{number}"
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    names = layer_inputs(model)
    del watched.graph.output[:]
    watched.graph.output.extend(onnx.helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    session = onnxruntime.InferenceSession(watched.SerializeToString(), providers=["CPUExecutionProvider"])
    values = session.run(list(names), {"frames": coco.frames_nhwc})
    return quantised_from_limits(
        model, {name: float(np.abs(item).max()) for name, item in zip(names, values, strict=True)}
    )


def disagreement(found: np.ndarray, reference: np.ndarray) -> float:  # type: ignore[type-arg]
    """Largest difference of the confidences, best first, of what FP32 is sure of."""
    sure = reference[..., 4] > 0.5
    return float(np.abs(found[..., 4] - reference[..., 4])[sure].max())


def test_fp16_around_int8_changes_little(coco: BuildContext, quantised_coco: onnx.ModelProto) -> None:
    int8_fp32 = output_from_onnx(quantised_coco, coco.frames_nhwc)
    int8_fp16 = output_from_onnx(fp16_model_around_int8(quantised_coco), coco.frames_nhwc)
    assert disagreement(int8_fp16, coco.reference_output) < disagreement(int8_fp32, coco.reference_output) + 0.05


def test_fp8_graph_finds_what_fp32_finds(coco: BuildContext, quantised_coco: onnx.ModelProto) -> None:
    model = fp8_model_from_int8(quantised_coco, coco.frames_onnx)
    onnx.checker.check_model(model)
    found = output_from_onnx(model, coco.frames_nhwc, optimise=False)
    assert disagreement(found, coco.reference_output) < 0.2


def test_fp8_weights_are_rounded_once(coco: BuildContext, quantised_coco: onnx.ModelProto) -> None:
    """Each weight is the FP8 number nearest to its exact value in the steps of its channel."""
    model = fp8_model_from_int8(quantised_coco, coco.frames_onnx)
    constants = {item.name: item for item in model.graph.initializer}
    exact = {item.name: numpy_helper.to_array(item) for item in coco.frames_onnx.graph.initializer}
    checked = 0
    for node in model.graph.node:
        name = node.input[0].removesuffix("_quantized") if node.op_type == "DequantizeLinear" else ""
        if name not in exact or node.input[0] not in constants:
            continue
        steps = numpy_helper.to_array(constants[node.input[1]]).astype(np.float32).reshape(-1, 1, 1, 1)
        values = numpy_helper.to_array(constants[node.input[0]]).astype(np.float32) * steps
        tolerance = np.abs(exact[name]) / 16 + steps * float(
            ml_dtypes.finfo(ml_dtypes.float8_e4m3fn).smallest_subnormal
        )
        assert (np.abs(values - exact[name]) <= tolerance * 1.01).all()
        checked += 1
    assert checked > 90


@pytest.mark.parametrize("trans_b", [0, 1])
@pytest.mark.parametrize("outputs", [5, 48])
def test_fp8_weights_of_a_linear_layer_keep_their_channels(trans_b: int, outputs: int) -> None:
    """A Gemm that does not transpose its weights has their channels in the second dimension."""
    random = np.random.default_rng(0)
    weights = (random.normal(size=(48, outputs)) * np.linspace(0.1, 10, outputs)).astype(np.float32)
    constants = {"scale": np.array(255, np.float32), "w": weights.T.copy() if trans_b else weights}
    nodes = [
        helper.make_node("Cast", ["frames"], ["f"], name="cast", to=TensorProto.FLOAT),
        helper.make_node("Div", ["f", "scale"], ["d"], name="div"),
        helper.make_node("Flatten", ["d"], ["x"], name="flatten"),
        helper.make_node("Gemm", ["x", "w"], ["scores"], name="gemm", transB=trans_b),
    ]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("frames", TensorProto.UINT8, ["batch", 4, 4, 3])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", outputs])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    fp8 = fp8_model_from_int8(quantised_from_limits(model, {"x": 1.0}), model)
    frames = random.integers(0, 256, (2, 4, 4, 3), dtype=np.uint8)
    expected = output_from_onnx(model, frames)
    found = output_from_onnx(fp8, frames, optimise=False)
    assert np.abs(found - expected).max() < 0.1 * np.abs(expected).max()


def test_graph_without_quantisers_cannot_become_int8(fp32_path: Path) -> None:
    with pytest.raises(ExportError, match=r"QuantizeLinear operators, found none.*--calibration"):
        fp16_model_around_int8(onnx.load(fp32_path))
