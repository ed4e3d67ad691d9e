from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch

from photofinish.export.graph.frames_onnx import frames_model_from_tensor_model
from photofinish.export.graph.frames_torch import FramesDetector, padded_rows, rows_from_yolo_raw
from photofinish.export.graph.session import output_from_onnx
from photofinish.export.loading.onnx import source_from_onnx
from photofinish.heads import rows_from_head
from tests.export.conftest import SIZE, SaveOnnx, raw_yolo


def _expected(raw: np.ndarray, head: str) -> np.ndarray:
    """The 300 best rows as the client's own decoder finds them."""
    rows = rows_from_head(raw, head, min_confidence=0.0)
    return rows[np.argsort(-rows[:, 4], kind="stable")][:300]


@pytest.mark.parametrize("anchors", [84, 300, 2100])
def test_torch_rows_equal_the_clients_decoder(anchors: int) -> None:
    raw = raw_yolo(anchors=anchors)
    rows = padded_rows(rows_from_yolo_raw(torch.from_numpy(raw)[None]))[0].numpy()
    expected = _expected(raw, "yolo_raw")
    assert rows.shape == (300, 6)
    np.testing.assert_allclose(rows[: len(expected)], expected, atol=1e-4)
    assert (rows[len(expected) :, 4] == 0).all()


def test_frames_are_scaled_and_transposed() -> None:
    class _Corner(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            pixel = images[:, :, 1, 2]
            return torch.cat((pixel, pixel), dim=1)[:, None]

    frames = torch.randint(0, 256, (2, 4, 5, 3), dtype=torch.uint8)
    rows = FramesDetector(_Corner(), head="rows")(frames)
    np.testing.assert_array_equal(rows[:, 0, :3].numpy(), frames[:, 1, 2].float().numpy() / np.float32(255))


def _objectness(raw: np.ndarray) -> np.ndarray:
    """The same boxes in YOLOv5's layout (anchors, 5 + classes)."""
    objectness = np.linspace(0.2, 1, raw.shape[1], dtype=np.float32)[None]
    return np.concatenate((raw[:4], objectness, raw[4:])).T.copy()


@pytest.mark.parametrize("head", ["yolo_raw", "yolo_raw_objectness", "rows"])
@pytest.mark.parametrize("batch", ["batch", 1])
def test_onnx_rows_equal_the_clients_decoder(save_raw_onnx: SaveOnnx, head: str, batch: str | int) -> None:
    raw = raw_yolo(anchors=500)
    if head == "yolo_raw_objectness":
        raw = _objectness(raw)
    elif head == "rows":
        raw = np.random.default_rng(1).permutation(_expected(raw, "yolo_raw"))[:200]
    source = source_from_onnx(save_raw_onnx(raw, batch=batch), model="toy", sha256="", input_size=None)
    assert source.head == head
    model = frames_model_from_tensor_model(
        source.expect_onnx(), head=head, input_wh=(SIZE, SIZE), raw_dims=source.raw_dims, sorted_rows=False
    )
    frames = np.zeros((3, SIZE, SIZE, 3), np.uint8)
    rows = output_from_onnx(model, frames, at_once=True)
    expected = _expected(raw, head)
    assert rows.shape == (3, 300, 6)
    for picture in rows:
        np.testing.assert_allclose(picture[: len(expected)], expected, atol=1e-4)
        assert (picture[len(expected) :, 4] == 0).all()


def test_the_cast_comes_first(save_raw_onnx: SaveOnnx) -> None:
    source = source_from_onnx(save_raw_onnx(raw_yolo()), model="toy", sha256="", input_size=None)
    model = frames_model_from_tensor_model(
        source.expect_onnx(), head="yolo_raw", input_wh=(SIZE, SIZE), raw_dims=source.raw_dims, sorted_rows=False
    )
    users = [node.op_type for node in model.graph.node if "frames" in node.input]
    assert users == ["Cast"]
    assert onnx.TensorProto.DataType.Name(model.graph.input[0].type.tensor_type.elem_type) == "UINT8"
