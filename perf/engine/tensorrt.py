"""A TensorRT engine in a bare loop: the embedded server's own engine class, without the server."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from photofinish.detections import MAX_ROWS
from photofinish.engine_record import compute_capability
from photofinish.errors import ConfigError
from photofinish.model_card import CARD_PARAMETER, ModelCard
from photofinish.perf.engine.packages_child import import_backend
from photofinish.variant import tensor_names


def tensorrt_loop(
    card: ModelCard, directory: Path, pixels: npt.NDArray[np.uint8], backend_package: Path
) -> Callable[[], object]:
    """One execution of the engine in `directory` on `pixels`, which already lie on the GPU; waited for.

    In a CUDA graph where the variant has them, as served. backend_package: the folder of the embedded server's package.
    Raises ConfigError where the server would refuse the engine: no GPU, another GPU or library, a changed file.
    """
    engines, models = import_backend(backend_package, "engine", "model")
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
        _, engine = engines.open_model(arguments)
        engine.run_arrays([pixels])
    except models.RefusedModelError as exc:
        raise ConfigError(f"a TensorRT engine runs on the GPU that it was built for: {exc}") from exc

    def run() -> None:
        engine.start(size)
        engine.wait()

    return run


def config_from_card(card: ModelCard, batch_sizes: tuple[int, ...]) -> dict[str, Any]:
    """What Triton would tell the backend of this variant, with these batch sizes prepared, ascending."""
    width, height = card.input_wh
    source, output = tensor_names("frames", task=card.task, backend=card.backend)
    dims = [len(card.class_names)] if card.task == "classify" else [MAX_ROWS, card.row_width]
    return {
        "name": card.variant,
        "backend": card.backend,
        "max_batch_size": batch_sizes[-1],
        "input": [{"name": source, "data_type": "TYPE_UINT8", "dims": [height, width, 3]}],
        "output": [{"name": output, "data_type": "TYPE_FP32", "dims": dims}],
        "cc_model_filenames": {compute_capability(target): engine["file"] for target, engine in card.engines.items()},
        "parameters": {CARD_PARAMETER: {"string_value": replace(card, batch_buckets=batch_sizes).to_parameter()}},
    }
