"""Real graphs of a real detector, small: what engines are built from in these tests.

`tests/conftest.py` loads this file for every test there is, so the heavy libraries are imported inside the fixtures.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import onnx

    from photofinish.export.recipes.context import BuildContext
    from photofinish.export.tensorrt.library import TensorRTLibrary

INPUT_SIZE = 160


@pytest.fixture(scope="session")
def rtx() -> TensorRTLibrary:
    from photofinish.export.tensorrt.library import imported_library

    library = imported_library("tensorrt_rtx")
    if library is None:
        pytest.skip('tensorrt_rtx is not installed; pip install "photofinish[tensorrt-rtx]"')
    return library


@pytest.fixture(scope="session")
def context(tmp_path_factory: pytest.TempPathFactory) -> BuildContext:
    """The demo detector, on small pictures."""
    from photofinish.export.loading.weights import find_weights, load_source
    from photofinish.export.recipes.context import BuildContext

    source = load_source(find_weights("demo"), input_size=INPUT_SIZE)
    return BuildContext(
        source=source, device="cpu", work_dir=tmp_path_factory.mktemp("work"), on_progress=lambda line: None
    )


@pytest.fixture(scope="session")
def fp32_path(context: BuildContext, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import onnx

    path = tmp_path_factory.mktemp("fp32") / "model.onnx"
    onnx.save(context.frames_onnx, path)
    return path


@pytest.fixture(scope="session")
def fp16_path(context: BuildContext, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import onnx

    from photofinish.export.graph.fp16 import fp16_model_from_fp32

    path = tmp_path_factory.mktemp("fp16") / "model.onnx"
    onnx.save(fp16_model_from_fp32(context.frames_onnx), path)
    return path


@pytest.fixture(scope="session")
def quantised(context: BuildContext) -> onnx.ModelProto:
    """Every layer between Q/DQ pairs, FP32 around them."""
    import onnx

    from photofinish.export.int8.graph import layer_inputs, quantised_from_limits

    model = onnx.ModelProto()
    model.CopyFrom(context.frames_onnx)
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"node_{number}"
    return quantised_from_limits(model, dict.fromkeys(layer_inputs(model), 6.0))


@pytest.fixture(scope="session")
def int8_path(quantised: onnx.ModelProto, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import onnx

    from photofinish.export.tensorrt.graph import fp16_model_around_int8

    path = tmp_path_factory.mktemp("int8") / "model.onnx"
    onnx.save(fp16_model_around_int8(quantised), path)
    return path


@pytest.fixture(scope="session")
def fp8_path(quantised: onnx.ModelProto, context: BuildContext, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import onnx

    from photofinish.export.tensorrt.graph import fp8_model_from_int8

    path = tmp_path_factory.mktemp("fp8") / "model.onnx"
    onnx.save(fp8_model_from_int8(quantised, context.frames_onnx), path)
    return path


@pytest.fixture(scope="session")
def toy_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One FP16 convolution in the frames contract: for tests in which the network does not matter."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = numpy_helper.from_array(np.ones((6, 3, 3, 3), np.float16), "weights")
    nodes = [
        helper.make_node("Cast", ["frames"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("Transpose", ["half"], ["images"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["images", "weights"], ["features"], name="conv"),
        helper.make_node("Cast", ["features"], ["detections"], to=TensorProto.FLOAT),
    ]
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("frames", TensorProto.UINT8, ["batch", 32, 32, 3])],
        [helper.make_tensor_value_info("detections", TensorProto.FLOAT, ["batch", 6, 30, 30])],
        [weights],
    )
    path = tmp_path_factory.mktemp("toy") / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path
