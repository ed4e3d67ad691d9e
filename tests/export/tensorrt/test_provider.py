"""ONNX Runtime's TensorRT provider: found or not, asked for in the config, and never replaced in silence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from photofinish.errors import ConfigError, ExportError
from photofinish.export.build import stage_variants
from photofinish.export.publishing.config import config_from_variant, io_from_variant
from photofinish.export.recipes.context import BuildContext, RecipeUnavailableError
from photofinish.export.recipes.table import RECIPES
from photofinish.export.tensorrt.library import provider_problem
from photofinish.variant import Variant, default_variants_path, variants_from_toml
from tests.builders import build_card
from tests.export.tensorrt.variants import engine_variant

KEYS_OF_THE_GENUINE_BACKEND = {
    "max_workspace_size_bytes", "trt_engine_cache_enable", "trt_engine_cache_path", "trt_engine_cache_prefix",
    "trt_timing_cache_enable", "trt_timing_cache_path", "trt_profile_min_shapes", "trt_profile_opt_shapes",
    "trt_profile_max_shapes", "trt_builder_optimization_level", "trt_cuda_graph_enable",
}  # fmt: skip
"""From onnxruntime_backend's README of 2024 (Triton 2.51), without those that set a precision."""


@pytest.fixture
def variant() -> Variant:
    variants = variants_from_toml(default_variants_path(), model="toy")
    return next(item for item in variants if item.suffix == "onnx_fp16_trt")


def parsed_config(variant: Variant, artifact_sha256: str = "a" * 64) -> Any:
    card = build_card(variant=variant.name, precision="fp16", device="cuda", accelerator=variant.accelerator)
    io = io_from_variant(variant, input_wh=(640, 480), raw_dims=(300, 6), task="detect")
    text = config_from_variant(variant, card, io, artifact_sha256=artifact_sha256)
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def test_config_asks_for_tensorrt_before_cuda(variant: Variant) -> None:
    config = parsed_config(variant)
    tensorrt, cuda = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert (config.backend, tensorrt.name, cuda.name) == ("onnxruntime", "tensorrt", "cuda")
    assert set(tensorrt.parameters) <= KEYS_OF_THE_GENUINE_BACKEND
    assert [tensorrt.parameters[f"trt_profile_{name}_shapes"] for name in ("min", "opt", "max")] == [
        "frames:1x480x640x3", "frames:8x480x640x3", "frames:32x480x640x3",
    ]  # fmt: skip
    assert "precision_mode" not in tensorrt.parameters


def test_engines_of_other_weights_are_kept_elsewhere(variant: Variant) -> None:
    folders = [
        parsed_config(variant, sha256)
        .optimization.execution_accelerators.gpu_execution_accelerator[0]
        .parameters["trt_engine_cache_path"]
        for sha256 in ("a" * 64, "b" * 64)
    ]
    assert len(set(folders)) == 2
    # ONNX Runtime makes the last folder only.
    assert all(Path(folder).parent == Path("/tmp") for folder in folders)


def test_accelerator_belongs_to_onnxruntime(variant: Variant) -> None:
    with pytest.raises(ConfigError, match="accelerator 'tensorrt' is for the onnxruntime backend, this is pytorch"):
        replace(variant, backend="pytorch")
    assert engine_variant().accelerator == "none"


class Runtime:
    """Stands for the onnxruntime package."""

    __version__ = "1.31.1"

    def __init__(self, folder: Path, *providers: str) -> None:
        self.__file__ = str(folder / "__init__.py")
        self.providers = [*providers, "CPUExecutionProvider"]

    def get_available_providers(self) -> list[str]:
        return self.providers


def missing(name: str) -> object:
    raise OSError(f"{name}: cannot open shared object file")


@pytest.fixture
def with_provider(tmp_path: Path) -> Runtime:
    (tmp_path / "capi").mkdir()
    library = tmp_path / "capi" / "libonnxruntime_providers_tensorrt.so"
    library.write_bytes(b"\x7fELF\0libnvonnxparser.so.10\0libcublas.so.13\0libnvinfer.so.10\0")
    return Runtime(tmp_path, "TensorrtExecutionProvider", "CUDAExecutionProvider")


def test_the_tensorrt_it_was_built_for_is_named(with_provider: Runtime) -> None:
    problem = str(provider_problem(ort=with_provider, load=missing))
    assert "was built for TensorRT 10 and libnvinfer.so.10 cannot be loaded" in problem
    assert 'pip install "tensorrt-cu13>=10,<11"' in problem


def test_nothing_is_said_where_it_can_be_loaded(with_provider: Runtime) -> None:
    loaded: list[str] = []
    assert provider_problem(ort=with_provider, load=loaded.append) is None
    assert loaded == ["libnvinfer.so.10", "libnvonnxparser.so.10"]


def test_an_onnxruntime_without_the_provider(tmp_path: Path) -> None:
    assert "has no TensorRT provider; install onnxruntime-gpu" in str(
        provider_problem(ort=Runtime(tmp_path), load=missing)
    )
    broken = Runtime(tmp_path, "TensorrtExecutionProvider")
    assert "does not exist; install onnxruntime-gpu again" in str(provider_problem(ort=broken, load=missing))


@pytest.mark.skipif(not provider_problem(), reason="this machine has the TensorRT provider")
def test_where_it_is_missing_the_variant_is_left_out(context: BuildContext, variant: Variant, tmp_path: Path) -> None:
    out_path = tmp_path / "model.onnx"
    with pytest.raises(RecipeUnavailableError, match="TensorRT"):
        RECIPES[variant.recipe](context, variant, out_path)
    assert not out_path.exists()


def test_asked_for_by_name_without_a_gpu_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"onnx_fp16_trt was asked for, but it runs on cuda, not on cpu"):
        stage_variants(
            "demo",
            variants_path=default_variants_path(),
            names=("onnx_fp16_trt",),
            device="cpu",
            staging=tmp_path,
            on_progress=lambda line: None,
        )
