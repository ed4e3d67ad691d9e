"""ONNX Runtime's TensorRT provider: found or not, asked for in the config, and never replaced in silence."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from photofinish.errors import ConfigError, ExportError
from photofinish.export.build import stage_variants
from photofinish.export.publishing.config import config_from_variant, io_from_variant
from photofinish.export.recipes.context import BuildContext, RecipeUnavailableError
from photofinish.export.recipes.table import RECIPES
from photofinish.export.tensorrt.library import provider_problem
from photofinish.perf.engine.loops import Artifact, loop_from_artifact
from photofinish.server.backend.engines import onnxruntime as engines
from photofinish.server.backend.engines import tensorrt_provider
from photofinish.server.backend.model import RefusedModelError, configured_model
from photofinish.variant import Variant, default_variants_path, variants_from_toml
from tests.builders import build_card
from tests.export.tensorrt.variants import engine_variant
from tests.server.backend.engines.test_tensorrt import HostCuda

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


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Engines are kept here."""
    monkeypatch.setenv("PHOTOFINISH_CACHE", str(tmp_path / "cache"))


def served(toy_path: Path, config: dict[str, Any] | None = None) -> Any:
    document = {
        "name": "toy_onnx_fp16_trt",
        "max_batch_size": 8,
        "input": [{"name": "frames", "data_type": "TYPE_UINT8", "dims": [32, 32, 3]}],
        "output": [{"name": "detections", "data_type": "TYPE_FP32", "dims": [6, 30, 30]}],
        "optimization": {"execution_accelerators": {"gpu_execution_accelerator": [{"name": "tensorrt"}]}},
        "parameters": {"photofinish": {"string_value": json.dumps({"batch_buckets": [1, 8], "cuda_graphs": True})}},
        **(config or {}),
    }
    arguments = {
        "model_config": json.dumps(document),
        "model_instance_kind": "GPU",
        "model_instance_device_id": "0",
        "model_repository": str(toy_path.parent.parent),
        "model_version": toy_path.parent.name,
    }
    return replace(configured_model({**arguments}, toy_path.name), card={"batch_buckets": [1, 8], "cuda_graphs": True})


def test_accelerators_are_read_from_the_config(toy_path: Path) -> None:
    assert served(toy_path).accelerators == ("tensorrt",)
    assert served(toy_path, {"optimization": {}}).accelerators == ()


@pytest.mark.skipif(
    "TensorrtExecutionProvider" in onnxruntime.get_available_providers(), reason="this ONNX Runtime has the provider"
)
def test_a_server_without_the_provider_refuses_the_model(toy_path: Path) -> None:
    with pytest.raises(RefusedModelError, match=r"configured for TensorRT .*has only .*onnx_fp16"):
        tensorrt_provider.tensorrt_session(served(toy_path), stream=7, cuda_graphs=True, fixed={"batch": 1})


class Sessions:
    """Stands for onnxruntime in the backend: sessions of the given providers, or none."""

    __version__ = "1.31.1"
    SessionOptions = onnxruntime.SessionOptions

    def __init__(self, *, providers: tuple[str, ...] = ("TensorrtExecutionProvider",), error: str = "") -> None:
        self.providers, self.error = providers, error
        self.settings: list[dict[str, str]] = []
        self.options: list[onnxruntime.SessionOptions] = []

    def get_available_providers(self) -> list[str]:
        return ["TensorrtExecutionProvider", "CPUExecutionProvider"]

    def preload_dlls(self) -> None:
        """CUDA is not needed here."""

    def InferenceSession(  # noqa: N802
        self, path: str, options: onnxruntime.SessionOptions, *, providers: list[Any], enable_fallback: int
    ) -> object:
        assert (Path(path).is_file(), enable_fallback) == (True, 0)
        if self.error:
            raise RuntimeError(self.error)
        ((name, settings),) = providers
        assert name == "TensorrtExecutionProvider"
        self.settings.append(settings)
        self.options.append(options)
        return SimpleNamespace(get_providers=lambda: list(self.providers))


@pytest.mark.usefixtures("cache")
def test_session_is_tensorrts_alone_with_a_graph_and_a_cache(
    toy_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = Sessions()
    monkeypatch.setattr(tensorrt_provider, "ort", runtime)
    for size in (1, 8):
        tensorrt_provider.tensorrt_session(served(toy_path), stream=7, cuda_graphs=True, fixed={"batch": size})
    folders = [Path(settings["trt_engine_cache_path"]) for settings in runtime.settings]
    # Engines of two batch sizes have the same name for the provider.
    assert len(set(folders)) == 2
    assert all(folder.is_dir() and tmp_path in folder.parents for folder in folders)
    assert runtime.settings[0]["trt_cuda_graph_enable"] == "1"
    assert (runtime.settings[0]["user_compute_stream"], runtime.settings[0]["has_user_compute_stream"]) == ("7", "1")
    assert not {key for key in runtime.settings[0] if key.endswith(("fp16_enable", "int8_enable", "bf16_enable"))}
    assert runtime.options[0].get_session_config_entry("session.disable_cpu_ep_fallback") == "1"


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize(
    ("runtime", "message"),
    [
        (Sessions(providers=("CUDAExecutionProvider",)), "fell back to CUDAExecutionProvider, expected Tensorrt"),
        (Sessions(error="nodes that are\nassigned to the default CPU EP"), "whole: nodes that are assigned to the"),
    ],
    ids=["provider", "node"],
)
def test_a_fall_back_is_refused(
    toy_path: Path,
    runtime: Sessions,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tensorrt_provider, "ort", runtime)
    with pytest.raises(RefusedModelError, match=message):
        tensorrt_provider.tensorrt_session(served(toy_path), stream=7, cuda_graphs=True, fixed={})


class FakeSession:
    """A session that notes for which batch size it was made and what is run in it."""

    def __init__(self, fixed: dict[str, int], runs: list[int]) -> None:
        self.fixed, self.runs = fixed, runs

    def io_binding(self) -> Any:
        return SimpleNamespace(bind_input=lambda *names: None, bind_output=lambda *names: None)

    def run_with_iobinding(self, binding: object, options: onnxruntime.RunOptions) -> None:
        self.runs.append(self.fixed["batch"])


def test_every_batch_size_has_a_tensorrt_session_of_its_own(toy_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The provider records one CUDA graph for each session, whatever the batch size that comes next."""
    made: list[dict[str, int]] = []
    runs: list[int] = []

    def session(model: object, *, stream: int, cuda_graphs: bool, fixed: dict[str, int]) -> FakeSession:
        made.append(fixed)
        return FakeSession(fixed, runs)

    monkeypatch.setattr(engines, "Cuda", lambda device_id: HostCuda())
    monkeypatch.setattr(engines, "tensorrt_session", session)
    monkeypatch.setattr(engines, "cuda_session", None)
    engine = engines.open_engine(served(toy_path))
    assert made == [{"batch": 1}, {"batch": 8}]
    runs.clear()
    engine.run_arrays([np.zeros((3, 32, 32, 3), np.uint8)])
    assert runs == [8]


def test_cuda_sessions_share_memory_and_are_all_loaded_before_one_runs(
    toy_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights of a session loaded later would lie where a recorded graph works."""
    events: list[str] = []
    runs: list[int] = []

    class Noted(FakeSession):
        def run_with_iobinding(self, binding: object, options: onnxruntime.RunOptions) -> None:
            events.append(f"run {self.fixed['batch']}")

    def session(model: object, *, stream: int, cuda_graphs: bool, fixed: dict[str, int]) -> FakeSession:
        events.append(f"load {fixed['batch']}")
        return Noted(fixed, runs)

    monkeypatch.setattr(engines, "Cuda", lambda device_id: HostCuda())
    monkeypatch.setattr(engines, "cuda_session", session)
    monkeypatch.setattr(engines, "check_cuda_provider", lambda model: None)
    monkeypatch.setattr(engines, "share_working_memory", lambda device_id: events.append("share"))
    engines.open_engine(served(toy_path, {"optimization": {}}))
    assert events[:3] == ["share", "load 1", "load 8"]
    assert list(dict.fromkeys(events[3:])) == ["run 8", "run 1"]


def test_the_bare_loop_does_not_measure_cuda_in_its_place(toy_path: Path) -> None:
    if "TensorrtExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has the provider")
    card = build_card(variant="toy_onnx_fp16_trt", device="cuda", accelerator="tensorrt", batch_buckets=(1, 8))
    with pytest.raises(ConfigError, match="has no TensorRT provider; install onnxruntime-gpu"):
        loop_from_artifact(Artifact(card=card, directory=toy_path.parent), 1, 0)
