"""A TensorRT engine in a bare loop: the embedded server's own engine class, without the server."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from photofinish.detections import MAX_ROWS, ROW_WIDTH
from photofinish.engine_record import compute_capability
from photofinish.errors import ConfigError
from photofinish.model_card import CARD_PARAMETER, ModelCard
from photofinish.variant import tensor_names

_PREFIX = "photofinish_"
"""How the backends name their modules, which they import from one folder by bare name."""


def tensorrt_loop(
    card: ModelCard, directory: Path, pixels: npt.NDArray[np.uint8], backends: Path
) -> Callable[[], object]:
    """One execution of the engine in `directory` on `pixels`, which already lie on the GPU; waited for.

    In a CUDA graph where the variant has them, as served. backends: the folder of the embedded server's backends.
    Raises ConfigError where the server would refuse the engine: no GPU, another GPU or library, a changed file.
    """
    engines, model = _backend_modules(backends)
    size = len(pixels)
    config = config_from_card(card, (size,))
    arguments = {
        "model_config": json.dumps(config),
        "model_instance_kind": "GPU",
        "model_instance_device_id": "0",
        "model_repository": str(directory.parent),
        "model_version": directory.name,
    }
    try:
        engine = engines.open_engine(model.served_model(arguments, "model.plan"), config)
        engine.run_arrays([pixels])
    except model.RefusedModelError as exc:
        raise ConfigError(f"a TensorRT engine runs on the GPU that it was built for: {exc}") from exc

    def run() -> None:
        engine.start(size)
        engine.wait()

    return run


def config_from_card(card: ModelCard, batch_sizes: tuple[int, ...]) -> dict[str, Any]:
    """What Triton would tell the backend of this variant, with these batch sizes prepared, ascending."""
    width, height = card.input_wh
    source, output = tensor_names("frames", task=card.task, backend=card.backend)
    dims = [len(card.class_names)] if card.task == "classify" else [MAX_ROWS, ROW_WIDTH]
    return {
        "name": card.variant,
        "max_batch_size": batch_sizes[-1],
        "input": [{"name": source, "data_type": "TYPE_UINT8", "dims": [height, width, 3]}],
        "output": [{"name": output, "data_type": "TYPE_FP32", "dims": dims}],
        "cc_model_filenames": {compute_capability(target): engine["file"] for target, engine in card.engines.items()},
        "parameters": {CARD_PARAMETER: {"string_value": replace(card, batch_buckets=batch_sizes).to_parameter()}},
    }


def _backend_modules(backends: Path) -> tuple[ModuleType, ModuleType]:
    """The `tensorrt` backend's modules `engines` and `model`, kept apart from those of other backends."""
    with _importing_from(backends / "tensorrt", backends / "shared"):
        return importlib.import_module(f"{_PREFIX}engines"), importlib.import_module(f"{_PREFIX}model")


@contextmanager
def _importing_from(*folders: Path) -> Iterator[None]:
    """Bare imports come from these folders first; every backend has a module `photofinish_engines`."""
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if name.startswith(_PREFIX)}
    sys.path[:0] = [str(folder) for folder in folders]
    try:
        yield
    finally:
        del sys.path[: len(folders)]
        for name in [name for name in sys.modules if name.startswith(_PREFIX)]:
            del sys.modules[name]
        sys.modules.update(kept)
