from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from photofinish.export.build import StagedVariant
from photofinish.export.graph.fp16 import fp16_model_from_fp32
from photofinish.export.graph.frames_onnx import frames_model_from_tensor_model
from photofinish.export.graph.session import output_from_onnx
from photofinish.export.loading.onnx import source_from_onnx
from tests.export.conftest import SIZE, SaveOnnx, raw_yolo


def test_layers_compute_in_fp16_and_the_rows_in_fp32(tiny_staging: tuple[object, tuple[StagedVariant, ...]]) -> None:
    directory = next(item.directory for item in tiny_staging[1] if item.variant.precision == "fp16")
    model = onnx.shape_inference.infer_shapes(onnx.load(directory / "1" / "model.onnx"))
    types = {item.name: item.type.tensor_type.elem_type for item in [*model.graph.value_info, *model.graph.output]}
    constants = {item.name: item for item in model.graph.initializer}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert len(convolutions) > 50
    assert {constants[node.input[1]].data_type for node in convolutions} == {TensorProto.FLOAT16}
    top = [node for node in model.graph.node if node.op_type == "TopK"]
    assert top
    assert {types[node.input[0]] for node in top} == {TensorProto.FLOAT}
    assert types["detections"] == TensorProto.FLOAT


def test_boxes_are_not_rounded_to_fp16(save_raw_onnx: SaveOnnx) -> None:
    raw = raw_yolo()
    raw[:2] += 600.123
    source = source_from_onnx(save_raw_onnx(raw), model="toy", sha256="", input_size=None)
    fp32 = frames_model_from_tensor_model(
        source.expect_onnx(), head="yolo_raw", input_wh=(SIZE, SIZE), raw_dims=source.raw_dims, sorted_rows=False
    )
    fp16 = fp16_model_from_fp32(fp32)
    frames = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3), dtype=np.uint8)
    wanted, found = output_from_onnx(fp32, frames), output_from_onnx(fp16, frames)
    assert np.abs(wanted.astype(np.float16) - wanted)[..., :4].max() > 0.1
    np.testing.assert_allclose(found, wanted, atol=1e-3)


def test_the_model_it_was_made_from_stays_as_it_was(save_raw_onnx: SaveOnnx) -> None:
    model = onnx.load(save_raw_onnx(raw_yolo()))
    before = model.SerializeToString()
    converted = fp16_model_from_fp32(model)
    assert model.SerializeToString() == before
    kinds = {numpy_helper.to_array(item).dtype for item in converted.graph.initializer}
    assert np.dtype(np.float16) in kinds
