"""Programs for torch: a TorchScript module with the genuine backend's names, or packages that AOTInductor compiled."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..model import ConfiguredModel, RefusedModelError, thread_count

SIDECAR = "model.json"
"""Beside `model_b<batch size>.pt2` packages: what they were compiled with and for."""


@dataclass(frozen=True)
class Program:
    """What runs. inputs: for each argument the index of the configured input; outputs: the results that are wanted.

    calls: batch size to callable; a single entry 0 takes every batch size.
    """

    calls: Mapping[int, Callable[..., Any]]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def run(self, batch_size: int, tensors: list[torch.Tensor]) -> list[torch.Tensor]:
        """The wanted results of one batch, contiguous, in the order of config.pbtxt."""
        call = self.calls.get(batch_size) or self.calls[0]
        result = call(*(tensors[index] for index in self.inputs))
        results = result if isinstance(result, (tuple, list)) else (result,)
        if len(results) <= max(self.outputs):
            raise RuntimeError(f"the program returned {len(results)} results, config.pbtxt names {len(self.outputs)}")
        return [results[index].contiguous() for index in self.outputs]


def load_program(model: ConfiguredModel) -> Program:
    """The program on the model's device; FP32 without TF32 unless the card allows it. Raises RefusedModelError."""
    torch.set_num_threads(thread_count(model))
    allow_tf32 = bool(model.card.get("tf32"))
    torch.backends.cuda.matmul.allow_tf32 = allow_tf32
    torch.backends.cudnn.allow_tf32 = allow_tf32
    if not allow_tf32:
        # On an H100 with torch 2.11 confidences were up to 0.024 off the CPU's by the switches alone, 2e-5 with this.
        os.environ["NVIDIA_TF32_OVERRIDE"] = "0"
    device = torch_device(model)
    sidecar = model.folder / SIDECAR
    return _compiled_program(model, sidecar) if sidecar.is_file() else _torchscript_program(model, device)


def torch_device(model: ConfiguredModel) -> torch.device:
    """The device of this instance. Raises RefusedModelError when it is a GPU that torch cannot use."""
    if model.device == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise RefusedModelError(
            f"{model.name} is configured for a GPU and torch {torch.__version__} finds none; "
            "run `photofinish doctor`, or export with --device cpu"
        )
    return torch.device("cuda", model.device_id)


def _torchscript_program(model: ConfiguredModel, device: torch.device) -> Program:
    artifact = model.artifact()
    try:
        module = torch.jit.load(str(artifact), map_location=device).eval()
    except (RuntimeError, ValueError, OSError) as exc:
        reason = str(exc).strip().splitlines()[0]
        raise RefusedModelError(f"torch {torch.__version__} cannot load {artifact}: {reason}") from exc
    arguments = [argument.name for argument in module.forward.schema.arguments if argument.name != "self"]
    return Program(calls={0: module}, inputs=_input_indices(model, arguments), outputs=_output_indices(model))


def _compiled_program(model: ConfiguredModel, sidecar: Path) -> Program:
    """AOTInductor's packages, one per batch size, refused on another torch or GPU than they were compiled for."""
    try:
        made_for = json.loads(sidecar.read_text(encoding="utf-8"))
        sizes = [int(size) for size in made_for["batch_sizes"]]
        check_made_for(made_for, torch_facts(model))
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise RefusedModelError(f"{sidecar} cannot be read ({exc}); export the model again") from exc
    if tuple(sizes) != model.buckets:
        raise RefusedModelError(
            f"{sidecar} has packages for the batch sizes {sizes}, the config prepares {list(model.buckets)}; "
            "export the model again"
        )
    if model.device == "cpu" and sizes != list(range(1, model.max_batch_size + 1)):
        raise RefusedModelError(
            f"{sidecar} has packages for the batch sizes {sizes}; on the CPU nothing is padded, so every size up to "
            f"{model.max_batch_size} needs one: serve the TorchScript variant"
        )
    try:
        calls = {
            # Single-threaded, or the package's own events would spoil the recording of a CUDA graph.
            size: torch._inductor.aoti_load_package(
                str(model.folder / f"model_b{size}.pt2"), run_single_threaded=True, device_index=_index(model)
            )
            for size in sizes
        }
    except (RuntimeError, OSError) as exc:
        reason = str(exc).strip().splitlines()[0]
        raise RefusedModelError(f"torch {torch.__version__} cannot load the packages of {sidecar}: {reason}") from exc
    names = [f"INPUT__{index}" for index in range(len(model.inputs))]
    return Program(calls=calls, inputs=_input_indices(model, names), outputs=_output_indices(model))


def check_results(model: ConfiguredModel, batch_size: int, results: list[torch.Tensor]) -> None:
    """Raise RefusedModelError unless the results of one batch are as configured.

    On a GPU they are copied as so many bytes of the configured type: nobody would notice another.
    """
    for io, result in zip(model.outputs, results, strict=True):
        wanted = torch.from_numpy(np.zeros(0, io.dtype)).dtype
        if result.dtype != wanted or tuple(result.shape) != io.shape(batch_size):
            raise RefusedModelError(
                f"output {io.name!r} is {result.dtype} with shape {tuple(result.shape)} for a batch of {batch_size}, "
                f"config.pbtxt states {io.dtype} with shape {io.shape(batch_size)}; export the model again"
            )


def _index(model: ConfiguredModel) -> int:
    return model.device_id if model.device == "cuda" else -1


def torch_facts(model: ConfiguredModel) -> dict[str, str]:
    """What a compiled package is tied to, as it is here."""
    facts = {"torch": torch.__version__}
    if model.device == "cuda":
        major, minor = torch.cuda.get_device_capability(model.device_id)
        facts |= {
            "cuda": str(torch.version.cuda),
            "gpu": torch.cuda.get_device_name(model.device_id),
            "compute_capability": f"{major}.{minor}",
        }
    return facts


def check_made_for(made_for: Mapping[str, Any], here: Mapping[str, str]) -> None:
    """Raise RefusedModelError where a compiled package was made for something else than what is here."""
    for key, found in here.items():
        if made_for[key] != found:
            raise RefusedModelError(
                f"the compiled package was made for {key} {made_for[key]}, found {found}; "
                "run `photofinish export` on this machine"
            )


def _input_indices(model: ConfiguredModel, arguments: list[str]) -> tuple[int, ...]:
    """For each argument its configured input: INPUT__0, 1, … or the arguments' own names. Raises RefusedModelError."""
    numbered = [f"INPUT__{index}" for index in range(len(arguments))]
    found = [io.name for io in model.inputs]
    for names in (numbered, arguments):
        if sorted(found) == sorted(names):
            return tuple(found.index(name) for name in names)
    raise RefusedModelError(
        f"config.pbtxt names the inputs {found}; this program takes {len(arguments)}: "
        f"name them {numbered} or {arguments}"
    )


def _output_indices(model: ConfiguredModel) -> tuple[int, ...]:
    """Which of the program's results each configured output is, by its number. Raises RefusedModelError."""
    found = [io.name for io in model.outputs]
    matches = [re.fullmatch(r".+__(\d+)", name) for name in found]
    indices = [int(match[1]) for match in matches if match]
    if sorted(indices) != list(range(len(found))):
        expected = [f"OUTPUT__{index}" for index in range(len(found))]
        raise RefusedModelError(f"config.pbtxt names the outputs {found}, expected {expected}")
    return tuple(indices)
