"""The `onnxruntime` backend: ONNX models on the CPU or on a GPU."""

from __future__ import annotations

from photofinish_engines import CpuEngine, CudaEngine
from photofinish_model import ServedModel, served_model


def open_model(arguments: dict[str, str]) -> tuple[ServedModel, CpuEngine | CudaEngine]:
    """The model that Triton's `initialize` arguments describe, and its engine, warm. Raises RefusedModelError."""
    model = served_model(arguments, "model.onnx")
    return model, CudaEngine(model) if model.device == "cuda" else CpuEngine(model)
