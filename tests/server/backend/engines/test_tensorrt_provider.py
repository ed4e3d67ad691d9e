"""ONNX Runtime's TensorRT provider in the server: never replaced in silence."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest

from photofinish.server.backend.engines import onnxruntime as engines
from photofinish.server.backend.engines import tensorrt_provider
from photofinish.server.backend.model import RefusedModelError, configured_model
from tests.server.backend.engines.test_tensorrt import HostCuda


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

    monkeypatch.setattr(engines, "Cuda", lambda device_id, is_shared: HostCuda())
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

    monkeypatch.setattr(engines, "Cuda", lambda device_id, is_shared: HostCuda())
    monkeypatch.setattr(engines, "cuda_session", session)
    monkeypatch.setattr(engines, "check_cuda_provider", lambda model: None)
    monkeypatch.setattr(engines, "share_working_memory", lambda device_id: events.append("share"))
    engines.open_engine(served(toy_path, {"optimization": {}}))
    assert events[:3] == ["share", "load 1", "load 8"]
    assert list(dict.fromkeys(events[3:])) == ["run 8", "run 1"]
