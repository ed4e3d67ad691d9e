"""What runs a model: the seam that every engine fills, and where each backend's engine is opened."""

from __future__ import annotations

import importlib
import importlib.util
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from .batches import Arrays, Part, run_joined
from .cuda.buffers import DeviceBatch
from .model import ConfiguredModel, RefusedModelError, configured_model, keep_to_own_cores
from .trace import StageTimes


class Engine(Protocol):
    """A model that is loaded, checked against its config and warm."""

    @property
    def batch(self) -> DeviceBatch | None:
        """Its fixed buffers on a GPU; None on the CPU."""

    @property
    def times(self) -> StageTimes | None:
        """Where its executions' time goes; None where nothing is copied."""

    @property
    def gpu_bytes(self) -> int:
        """What loading took on the GPU; 0 on the CPU."""

    def run(self, parts: Sequence[Part]) -> list[Arrays]:
        """The outputs of each part, valid until the next run."""

    def run_arrays(self, arrays: Arrays) -> Arrays:
        """The outputs of one batch in host memory; on the CPU valid until the next run."""


class CpuEngine(ABC):
    """What engines on the CPU share: requests are joined in host memory."""

    batch = None
    times = None
    gpu_bytes = 0

    def run(self, parts: Sequence[Part]) -> list[Arrays]:
        """The outputs of each part, valid until the next run."""
        return run_joined(parts, self.run_arrays)

    @abstractmethod
    def run_arrays(self, arrays: Arrays) -> Arrays:
        """The outputs of one batch, valid until the next run."""


@dataclass(frozen=True)
class Opener:
    """Where a backend's engine is opened. module: has `open_engine(model)`. file_name: the artifact's usual name.

    libraries: the module imports one of them when it knows the model.
    """

    module: str
    file_name: str
    libraries: tuple[str, ...] = ()


ENGINES: Mapping[str, Opener] = {
    "onnxruntime": Opener(".engines.onnxruntime", "model.onnx"),
    "openvino": Opener(".engines.openvino", "model.onnx"),
    "pytorch": Opener(".engines.pytorch", "model.pt"),
    "tensorrt": Opener(".engines.tensorrt", "model.plan", ("tensorrt", "tensorrt_rtx")),
}
"""By the backend's name in config.pbtxt. Imported when it is opened: no process loads another backend's libraries."""


def import_engine(backend: str) -> None:
    """Import what every model of the backend needs; no GPU is used. Raises what the imports raise."""
    if (opener := ENGINES.get(backend)) is None:
        return
    importlib.import_module(opener.module, __package__)
    # Two of them in one process may disagree, and which one it is only the model says.
    installed = [name for name in opener.libraries if importlib.util.find_spec(name)]
    if len(installed) == 1:
        importlib.import_module(installed[0])


def open_model(arguments: dict[str, str]) -> tuple[ConfiguredModel, Engine]:
    """The model that Triton's `initialize` arguments describe, and its engine, warm. Raises RefusedModelError."""
    model = read_model(arguments)
    return model, open_engine(arguments, model)


def read_model(arguments: dict[str, str]) -> ConfiguredModel:
    """The model alone, checked as far as its configuration goes; its process keeps to its cores from here on.

    Raises RefusedModelError.
    """
    model = configured_model(arguments, _opener(arguments).file_name)
    keep_to_own_cores(model)
    return model


def open_engine(arguments: dict[str, str], model: ConfiguredModel) -> Engine:
    """The engine of a model that was read, warm. Raises RefusedModelError."""
    engine: Engine = importlib.import_module(_opener(arguments).module, __package__).open_engine(model)
    return engine


def _opener(arguments: dict[str, str]) -> Opener:
    name = json.loads(arguments["model_config"]).get("backend", "")
    if name not in ENGINES:
        raise RefusedModelError(f"config.pbtxt names the backend {name!r}, this server has {', '.join(ENGINES)}")
    return ENGINES[name]
