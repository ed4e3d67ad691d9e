"""Where the engine of each backend is opened."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .model import ConfiguredModel, RefusedModelError, configured_model


@dataclass(frozen=True)
class Opener:
    """Where a backend's engine is opened. module: has `open_engine(model)`. file_name: the artifact's usual name."""

    module: str
    file_name: str


ENGINES: Mapping[str, Opener] = {
    "onnxruntime": Opener(".engines.onnxruntime", "model.onnx"),
    "openvino": Opener(".engines.openvino", "model.onnx"),
    "pytorch": Opener(".engines.pytorch", "model.pt"),
    "tensorrt": Opener(".engines.tensorrt", "model.plan"),
}
"""By the name of the backend in config.pbtxt. The process of one backend never imports the libraries of another."""


def open_model(arguments: dict[str, str]) -> tuple[ConfiguredModel, Any]:
    """The model that Triton's `initialize` arguments describe, and its engine, warm. Raises RefusedModelError."""
    name = json.loads(arguments["model_config"]).get("backend", "")
    if name not in ENGINES:
        raise RefusedModelError(f"config.pbtxt names the backend {name!r}, there are {', '.join(ENGINES)}")
    model = configured_model(arguments, ENGINES[name].file_name)
    return model, importlib.import_module(ENGINES[name].module, __package__).open_engine(model)
