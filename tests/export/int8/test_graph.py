"""Q/DQ graphs on a network of two convolutions."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from photofinish.errors import ExportError
from photofinish.export.graph.session import output_from_onnx
from photofinish.export.int8.graph import (
    layer_inputs,
    layers_from_model,
    partly_quantised,
    quantised_from_limits,
    weights_share,
    with_limits,
)
from photofinish.export.int8.ranges import RangeCollector

FRAME = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)


def quantised_layers(model: onnx.ModelProto) -> tuple[str, ...]:
    """Names of the layers whose weights come out of a DequantizeLinear."""
    dequantised = {name for node in model.graph.node if node.op_type == "DequantizeLinear" for name in node.output}
    return tuple(node.name for node in model.graph.node if node.op_type == "Conv" and node.input[1] in dequantised)


def small_model() -> onnx.ModelProto:
    """frames UINT8 [N,16,16,3] → Cast, Div, Transpose, Conv, Relu, Conv, ReduceMean → scores FP32 [N,4]."""
    random = np.random.default_rng(1)
    constants = {
        "scale": np.array(255, np.float32),
        "w1": random.normal(size=(8, 3, 3, 3)).astype(np.float32),
        "b1": random.normal(size=8).astype(np.float32),
        "w2": random.normal(size=(4, 8, 1, 1)).astype(np.float32),
        "b2": random.normal(size=4).astype(np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["frames"], ["f"], name="cast", to=TensorProto.FLOAT),
        helper.make_node("Div", ["f", "scale"], ["d"], name="div"),
        helper.make_node("Transpose", ["d"], ["x"], name="transpose", perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], name="first"),
        helper.make_node("Relu", ["c1"], ["r1"], name="relu"),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], name="second"),
        helper.make_node("ReduceMean", ["c2"], ["scores"], name="mean", axes=[2, 3], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("frames", TensorProto.UINT8, ["batch", 16, 16, 3])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 4])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture(scope="module")
def quantised() -> onnx.ModelProto:
    model = small_model()
    collector = RangeCollector(model, layer_inputs(model))
    collector.add(FRAME)
    return quantised_from_limits(model, collector.limits(100.0))


def test_every_weighted_layer_is_found_once() -> None:
    assert layers_from_model(small_model()) == ("first", "second")
    assert layer_inputs(small_model()) == ("x", "r1")


def test_quantised_graph_is_near_and_loads_in_onnx_runtime(quantised: onnx.ModelProto) -> None:
    onnx.checker.check_model(quantised)
    expected, found = output_from_onnx(small_model(), FRAME[None]), output_from_onnx(quantised, FRAME[None])
    assert quantised_layers(quantised) == ("first", "second")
    assert 0 < np.abs(found - expected).max() < 0.05 * np.abs(expected).max()


def test_other_limits_give_what_quantising_anew_gives() -> None:
    model = small_model()
    collector = RangeCollector(model, layer_inputs(model))
    collector.add(FRAME)
    widest, narrow = collector.limits(100.0), collector.limits(90.0)
    assert narrow["r1"] < widest["r1"]
    anew = quantised_from_limits(model, narrow)
    changed = with_limits(quantised_from_limits(model, widest), widest, narrow)
    expected = {item.name: numpy_helper.to_array(item) for item in anew.graph.initializer}
    found = {item.name: numpy_helper.to_array(item) for item in changed.graph.initializer}
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-6, err_msg=name)


def test_tensorrt_can_take_it(quantised: onnx.ModelProto) -> None:
    """Symmetric INT8 with zero points of 0, weights per channel, no dequantised bias, standard operators only."""
    constants = {item.name: numpy_helper.to_array(item) for item in quantised.graph.initializer}
    pairs = [node for node in quantised.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert pairs
    for node in pairs:
        assert constants[node.input[2]].dtype == np.int8
        assert not constants[node.input[2]].any()
    assert {node.domain for node in quantised.graph.node} == {""}
    assert not any(value.dtype == np.int32 for value in constants.values())
    assert sorted(constants[node.input[1]].size for node in pairs if node.input[0] in constants) == [4, 8]


def test_only_the_chosen_layers_stay_quantised(quantised: onnx.ModelProto) -> None:
    model = small_model()
    one = partly_quantised(quantised, model, {"second"})
    assert quantised_layers(one) == ("second",)
    onnx.checker.check_model(one)
    none = partly_quantised(quantised, model, set())
    assert not [node for node in none.graph.node if "Quantize" in node.op_type or "Dequantize" in node.op_type]
    np.testing.assert_array_equal(output_from_onnx(none, FRAME[None]), output_from_onnx(model, FRAME[None]))
    assert {item.name for item in none.graph.initializer} == {item.name for item in model.graph.initializer}


def test_weights_share_counts_elements() -> None:
    assert weights_share(small_model(), ["first"]) == pytest.approx(216 / 248)


def test_graph_without_weighted_layers_is_refused() -> None:
    model = small_model()
    del model.graph.node[3:]
    with pytest.raises(ExportError, match="at least one is needed"):
        layers_from_model(model)


def test_limits_are_percentiles_of_the_absolute_values() -> None:
    """Frames with growing contrast: later values lie beyond the first histogram's top."""
    model = small_model()
    collector = RangeCollector(model, ("x", "c2"))
    session = ort.InferenceSession(_with_outputs(model, ("x", "c2")).SerializeToString())
    seen: dict[str, list[np.ndarray]] = {"x": [], "c2": []}
    for contrast in (20, 60, 255):
        frame = np.random.default_rng(contrast).integers(0, contrast + 1, (16, 16, 3), dtype=np.uint8)
        collector.add(frame)
        for name, values in zip(seen, session.run(list(seen), {"frames": frame[None]}), strict=True):
            seen[name].append(np.abs(values).ravel())
    for percentile in (50.0, 99.0, 100.0):
        for name, limit in collector.limits(percentile).items():
            values = np.concatenate(seen[name])
            expected = float(np.percentile(values, percentile, method="inverted_cdf"))
            assert limit == pytest.approx(expected, abs=float(values.max()) * 2 / 4096)


def test_constant_and_empty_activations_have_limits() -> None:
    model = small_model()
    collector = RangeCollector(model, ("x",))
    collector.add(np.zeros((16, 16, 3), np.uint8))
    assert collector.limits(99.9) == {"x": 0.0}
    collector.add(np.full((16, 16, 3), 255, np.uint8))
    assert collector.limits(100.0) == {"x": 1.0}


def test_broken_weights_are_named() -> None:
    model = small_model()
    model.graph.initializer[1].CopyFrom(numpy_helper.from_array(np.full((8, 3, 3, 3), np.nan, np.float32), "w1"))
    with pytest.raises(ExportError, match="NaN or infinity"):
        RangeCollector(model, ("r1",)).add(FRAME)


def _with_outputs(model: onnx.ModelProto, names: tuple[str, ...]) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    return copy


def test_unsigned_activations_leave_room_for_sums_of_16_bits() -> None:
    model = small_model()
    collector = RangeCollector(model, layer_inputs(model))
    collector.add(FRAME)
    limits = collector.limits(100.0)
    lows = collector.lows(limits)
    assert lows == {"x": 0.0, "r1": 0.0}
    unsigned = quantised_from_limits(model, limits, lows)
    onnx.checker.check_model(unsigned)
    constants = {item.name: numpy_helper.to_array(item) for item in unsigned.graph.initializer}
    weights = [values for name, values in constants.items() if name.endswith("_quantized")]
    zero_points = [values for name, values in constants.items() if name in ("x_zero_point", "r1_zero_point")]
    assert len(weights) == 2
    assert all(np.abs(values.astype(int)).max() * 2 * 255 < 2**15 for values in weights)
    assert [values.dtype for values in zero_points] == [np.uint8, np.uint8]
    expected, found = output_from_onnx(model, FRAME[None]), output_from_onnx(unsigned, FRAME[None])
    assert 0 < np.abs(found - expected).max() < 0.05 * np.abs(expected).max()


def test_lows_are_what_was_seen_and_never_beyond_the_limit() -> None:
    model = small_model()
    collector = RangeCollector(model, ("c1", "r1"))
    collector.add(FRAME)
    limits = {"c1": 1e-3, "r1": 1.0}
    assert collector.lows(limits) == {"c1": pytest.approx(-1e-3), "r1": 0.0}
    seen = collector.lows({"c1": 1e6, "r1": 1e6})["c1"]
    assert -1e6 < seen < -1e-3


def test_openvino_computes_the_unsigned_graph_as_onnx_runtime_does() -> None:
    openvino = pytest.importorskip("openvino")
    model = small_model()
    collector = RangeCollector(model, layer_inputs(model))
    collector.add(FRAME)
    limits = collector.limits(100.0)
    unsigned = quantised_from_limits(model, limits, collector.lows(limits))
    core = openvino.Core()
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(core.read_model(unsigned.SerializeToString()), "CPU", settings)
    expected = output_from_onnx(unsigned, FRAME[None])
    found = compiled(FRAME[None])[0]
    assert np.abs(found - expected).max() < 0.01 * np.abs(expected).max()
