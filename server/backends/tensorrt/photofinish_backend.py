"""The `tensorrt` backend: engines of `tensorrt` and of `tensorrt_rtx` on a GPU."""

from __future__ import annotations

import json

from photofinish_engines import CudaEngine, open_engine
from photofinish_model import ServedModel, served_model


def open_model(arguments: dict[str, str]) -> tuple[ServedModel, CudaEngine]:
    """The model that Triton's `initialize` arguments describe, and its engine, warm. Raises RefusedModelError."""
    model = served_model(arguments, "model.plan")
    return model, open_engine(model, json.loads(arguments["model_config"]))
