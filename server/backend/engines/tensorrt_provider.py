"""ONNX Runtime's TensorRT provider: sessions in which TensorRT computes every node, or none at all."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import sys
from pathlib import Path
from typing import Any

import onnxruntime as ort

from ..model import ConfiguredModel, RefusedModelError

ACCELERATOR = "tensorrt"
"""Its name among the execution accelerators of config.pbtxt, as for the genuine backend."""
PROVIDER = "TensorrtExecutionProvider"
_WHEELS = ("tensorrt_libs", "tensorrt")
"""Packages that bring TensorRT's libraries in where the system's loader does not find them."""
_REMEDY = (
    "it needs onnxruntime-gpu and the TensorRT that was built for (`photofinish doctor` names it); "
    "the onnx_fp16 variant runs the same graph without"
)


def tensorrt_session(model: ConfiguredModel, *, stream: int, cuda_graphs: bool, fixed: dict[str, int]) -> Any:
    """A session on the model's GPU that TensorRT alone computes, on `stream`. Raises RefusedModelError otherwise.

    The arguments are those of cuda_session. The provider holds one CUDA graph for each session, so every batch size
    has a session and an engine of its own, built on first use and kept in the user's cache.
    """
    if PROVIDER not in (available := ort.get_available_providers()):
        raise RefusedModelError(
            f"{model.name} is configured for TensorRT and this ONNX Runtime {ort.__version__} has only {available}; "
            f"{_REMEDY}"
        )
    folder = engine_folder(model, fixed)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not any(folder.glob("*.engine")):
        sys.stderr.write(f"photofinish: {model.name}: TensorRT builds an engine for {fixed}, which takes minutes\n")
    settings = {
        "device_id": str(model.device_id),
        "has_user_compute_stream": "1",
        "user_compute_stream": str(stream),
        "trt_cuda_graph_enable": "1" if cuda_graphs else "0",
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(folder),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(folder.parent),
    }
    options = ort.SessionOptions()
    options.log_severity_level = 3
    # Nodes that TensorRT leaves would go to the CPU without a word.
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    for name, size in fixed.items():
        options.add_free_dimension_override_by_name(name, size)
    ort.preload_dlls()
    for wheel in _WHEELS:
        with contextlib.suppress(ImportError):
            importlib.import_module(wheel)
    try:
        session = ort.InferenceSession(
            str(model.artifact()), options, providers=[(PROVIDER, settings)], enable_fallback=0
        )
    except Exception as exc:  # ONNX Runtime raises classes of its own, all derived from Exception
        said = " ".join(str(exc).split())
        raise RefusedModelError(f"TensorRT does not run {model.name} whole: {said}; {_REMEDY}") from exc
    if (found := session.get_providers()[0]) != PROVIDER:
        raise RefusedModelError(f"ONNX Runtime {ort.__version__} fell back to {found}, expected {PROVIDER}; {_REMEDY}")
    return session


def engine_folder(model: ConfiguredModel, fixed: dict[str, int]) -> Path:
    """Where the engine of one batch size is kept.

    One folder for each artifact and size: the provider's file names tell graphs and GPUs apart, not weights or sizes.
    """
    user_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    cache = Path(os.environ.get("PHOTOFINISH_CACHE") or user_cache / "photofinish").expanduser()
    digest = hashlib.sha256(model.artifact().read_bytes()).hexdigest()[:16]
    size = "_".join(str(value) for value in fixed.values()) or "any"
    return cache / "onnxruntime_tensorrt" / digest / size
