"""The `openvino` backend: ONNX models on the CPU."""

from __future__ import annotations

from photofinish_model import ServedModel, served_model
from photofinish_openvino import OpenvinoEngine


def open_model(arguments: dict[str, str]) -> tuple[ServedModel, OpenvinoEngine]:
    """The model that Triton's `initialize` arguments describe, and its engine. Raises RefusedModelError."""
    model = served_model(arguments, "model.onnx")
    return model, OpenvinoEngine(model)
