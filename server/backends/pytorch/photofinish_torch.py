"""TorchScript modules on the CPU or a GPU, with the input and output names of the genuine backend."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from photofinish_model import Io, RefusedModelError, ServedModel, thread_count

Arrays = list[np.ndarray]


def torch_device(model: ServedModel) -> torch.device:
    """The device of this instance. Raises RefusedModelError when it is a GPU that torch cannot use."""
    if model.device == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise RefusedModelError(
            f"{model.name} is configured for a GPU and torch {torch.__version__} finds none; "
            "run `photofinish doctor`, or export with --device cpu"
        )
    return torch.device("cuda", model.device_id)


def load_torchscript(model: ServedModel) -> Any:
    """The module, on its device and ready for inference. FP32 is FP32 on a GPU unless the card allows TF32."""
    torch.set_num_threads(thread_count(model))
    allow_tf32 = bool(model.card.get("tf32"))
    torch.backends.cuda.matmul.allow_tf32 = allow_tf32
    torch.backends.cudnn.allow_tf32 = allow_tf32
    device = torch_device(model)
    try:
        return torch.jit.load(str(model.artifact), map_location=device).eval()
    except (RuntimeError, ValueError, OSError) as exc:
        reason = str(exc).strip().splitlines()[0]
        raise RefusedModelError(f"torch {torch.__version__} cannot load {model.artifact}: {reason}") from exc


def check_names(model: ServedModel, module: Any) -> None:
    """Raise RefusedModelError unless the inputs are INPUT__0, 1, … or forward's arguments, the outputs OUTPUT__0, …"""
    arguments = [argument.name for argument in module.forward.schema.arguments if argument.name != "self"]
    numbered = [f"INPUT__{index}" for index in range(len(arguments))]
    found = [io.name for io in model.inputs]
    if sorted(found) not in (sorted(numbered), sorted(arguments)):
        raise RefusedModelError(
            f"config.pbtxt names the inputs {found}; this TorchScript module takes {len(arguments)}: "
            f"name them {numbered} or {arguments}"
        )
    _output_indices(model)


def _output_indices(model: ServedModel) -> list[int]:
    """Which of the module's results each configured output is."""
    matches = [re.fullmatch(r".+__(\d+)", io.name) for io in model.outputs]
    indices = [int(match[1]) for match in matches if match]
    if len(indices) != len(model.outputs) or sorted(indices) != list(range(len(indices))):
        expected = [f"OUTPUT__{index}" for index in range(len(model.outputs))]
        found = [io.name for io in model.outputs]
        raise RefusedModelError(f"config.pbtxt names the outputs {found}, expected {expected}")
    return indices


def runner(model: ServedModel, module: Any) -> Callable[[Arrays], Arrays]:
    """A function from one batch of input arrays to the output arrays, in the order of config.pbtxt."""
    device = torch_device(model)
    arguments = [argument.name for argument in module.forward.schema.arguments if argument.name != "self"]
    order = sorted(range(len(model.inputs)), key=lambda index: _position(model.inputs[index], arguments))
    indices = _output_indices(model)

    def run(arrays: Arrays) -> Arrays:
        with torch.inference_mode():
            inputs = [torch.from_dlpack(arrays[index]).to(device) for index in order]
            result = module(*inputs)
            results = result if isinstance(result, (tuple, list)) else (result,)
            if len(results) <= max(indices):
                raise RuntimeError(f"the module returned {len(results)} results, config.pbtxt names {len(indices)}")
            return [results[index].cpu().contiguous().numpy() for index in indices]

    return run


def _position(io: Io, arguments: list[str]) -> int:
    """The argument of forward that this input is."""
    return arguments.index(io.name) if io.name in arguments else int(io.name.rpartition("__")[2])
