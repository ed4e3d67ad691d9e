"""Tiny models, built once for all tests of the export."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from photofinish.export.build import StagedVariant, stage_variants
from photofinish.export.publishing import staging
from photofinish.variant import Variant, variants_from_toml

CHECKOUT = Path(__file__).resolve().parents[2]
SIZE = 64
SUFFIXES = ("torch_fp32_tensor", "torch_fp32", "onnx_fp32", "onnx_fp16")
Tiny = tuple[Path, tuple[StagedVariant, ...]]
"""A staging folder and the variants in it."""


@pytest.fixture(scope="session")
def variants() -> dict[str, Variant]:
    """The checkout's variants for a model named toy, by suffix."""
    return {item.suffix: item for item in variants_from_toml(CHECKOUT / "variants.toml", model="toy")}


@pytest.fixture(scope="session", autouse=True)
def _fixed_code_hash() -> Iterator[None]:
    """A module saved while the tests run does not make their artifacts stale."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(staging, "code_hash", lambda: "tests")
        yield


@pytest.fixture(scope="session")
def tiny_staging(_fixed_code_hash: None, tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """An untrained YOLO26n at 64 pixels: its staging folder and the four basic variants in it. Do not change it."""
    folder = tmp_path_factory.mktemp("tiny") / "staging"
    return folder, stage_tiny(folder)


def stage_tiny(folder: Path, *, names: tuple[str, ...] = SUFFIXES) -> tuple[StagedVariant, ...]:
    return stage_variants(
        "yolo26n.yaml",
        variants_path=CHECKOUT / "variants.toml",
        names=names,
        device="cpu",
        input_size=SIZE,
        staging=folder,
        on_progress=print,
    )


SaveOnnx = Callable[..., Path]


@pytest.fixture
def save_raw_onnx(tmp_path: Path) -> SaveOnnx:
    """Writes a toy detector: images → a convolution whose influence is small, plus the raw output given.

    save(raw, batch="batch" | 1, metadata={}, input_type=FLOAT, inputs=1) -> path. raw: (…) float32 per picture.
    """

    def save(
        raw: np.ndarray,
        *,
        batch: str | int = "batch",
        metadata: dict[str, str] | None = None,
        input_type: int = TensorProto.FLOAT,
        extra_input: bool = False,
        size: int = SIZE,
        opset: int = 17,
        influence: float = 1e-3,
    ) -> Path:
        weights = np.full((2, 3, 1, 1), influence, dtype=np.float32)
        element = np.float16 if input_type == TensorProto.FLOAT16 else np.float32
        shape = [batch if isinstance(batch, int) else -1, *([1] * raw.ndim)]
        nodes = [
            helper.make_node("Conv", ["images", "weights"], ["features"]),
            helper.make_node("ReduceMean", ["features"], ["mean"], axes=[1, 2, 3], keepdims=0),
            helper.make_node("Reshape", ["mean", "shape"], ["column"]),
            helper.make_node("Add", ["column", "raw"], ["output0"]),
        ]
        graph = helper.make_graph(
            nodes,
            "toy",
            [helper.make_tensor_value_info("images", input_type, [batch, 3, size, size])],
            [helper.make_tensor_value_info("output0", input_type, [batch, *raw.shape])],
            [
                numpy_helper.from_array(weights.astype(element), "weights"),
                numpy_helper.from_array(np.array(shape, np.int64), "shape"),
                numpy_helper.from_array(raw[None].astype(element), "raw"),
            ],
        )
        if extra_input:
            graph.input.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, [1]))
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        helper.set_model_props(model, metadata or {})
        path = tmp_path / "toy.onnx"
        onnx.save(model, path)
        return path

    return save


def raw_yolo(*, classes: int = 3, anchors: int = 400, seed: int = 0) -> np.ndarray:
    """A raw head (4 + classes, anchors) with boxes inside the picture and distinct scores, few of them high."""
    random = np.random.default_rng(seed)
    raw = np.empty((4 + classes, anchors), dtype=np.float32)
    raw[:2] = random.uniform(10, SIZE - 10, (2, anchors))
    raw[2:4] = random.uniform(4, 20, (2, anchors))
    raw[4:] = random.permutation(classes * anchors).reshape(classes, anchors) / (classes * anchors)
    raw[4:] **= 8
    return raw
