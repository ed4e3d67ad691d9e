"""Where the GPU memory of a served model goes: CUDA's context by the size of its threads' stacks, then step by step.

    python -m experiments.gpu.context_memory --repository model_repository --variant aoti_fp16 --out memory.json

Each row is a process of its own, alone on the GPU. Memory is what the driver says is in use, less what was before.
A stack size is a wish: the row tells which one the driver took.

Backs: docs/benchmarking-goals.md, "Of a context's memory most is set aside for threads' stacks"
"""

from __future__ import annotations

import ctypes
import json
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import click

from photofinish.flows.bench import artifacts_in
from photofinish.machine.gpu import bytes_in_use, opened_nvml
from photofinish.model_card import ModelCard
from photofinish.server.backend.cuda.driver import Cuda

STACK_SIZE_LIMIT, PRINTF_LIMIT, HEAP_LIMIT = 0, 1, 2
STACKS = (None, 1024, 512, 256, 128, 64, 0)
"""Bytes of each thread; None leaves CUDA's own."""
SETTINGS: tuple[dict[str, str], ...] = (
    {},
    {"CUBLAS_WORKSPACE_CONFIG": ":16:8"},
    {"CUBLASLT_WORKSPACE_SIZE": "1024"},
    {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"},
    {"CUBLAS_WORKSPACE_CONFIG": ":16:8", "CUBLASLT_WORKSPACE_SIZE": "1024"},
    {
        "CUBLAS_WORKSPACE_CONFIG": ":16:8",
        "CUBLASLT_WORKSPACE_SIZE": "1024",
        "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
    },
)
"""Of the environment, in which each variant is opened: what the libraries set aside beside the model."""


def stack_row(number: int, stack: int | None, is_bare: bool) -> dict[str, Any]:
    """A context alone, then PyTorch in it, with one convolution and one matrix product in FP16.

    is_bare: without the memory that kernels could print to or allocate from, either.
    """
    with opened_nvml() as nvml:
        used = _meter(nvml, number)
        cuda = Cuda(number)
        row: dict[str, Any] = {"asked": stack, "is_bare": is_bare}
        driver = ctypes.CDLL("libcuda.so.1")
        if is_bare:
            row["bare_codes"] = [
                driver.cuCtxSetLimit(limit, ctypes.c_size_t(4096)) for limit in (PRINTF_LIMIT, HEAP_LIMIT)
            ]
        if stack is not None:
            row["code"] = driver.cuCtxSetLimit(STACK_SIZE_LIMIT, ctypes.c_size_t(stack))
        taken = ctypes.c_size_t()
        driver.cuCtxGetLimit(ctypes.byref(taken), STACK_SIZE_LIMIT)
        row |= {"stack_bytes": taken.value, "context_mib": used()}
        import torch

        with torch.inference_mode():
            device = torch.device("cuda", number)
            pictures = torch.randn(1, 64, 80, 80, device=device, dtype=torch.half)
            torch.nn.Conv2d(64, 64, 3, device=device, dtype=torch.half)(pictures)
            pictures.flatten(0, 2) @ pictures.flatten(0, 2).T
            torch.cuda.synchronize()
        driver.cuCtxGetLimit(ctypes.byref(taken), STACK_SIZE_LIMIT)
        cuda.synchronize()
        return row | {"with_torch_mib": used(), "stack_bytes_then": taken.value}


def engine_row(number: int, arguments: dict[str, str], setting: dict[str, str]) -> dict[str, Any]:
    """One variant as the server's process opens it: memory after each step, and what PyTorch holds and uses of it."""
    os.environ.update(setting)
    with opened_nvml() as nvml:
        used = _meter(nvml, number)
        ctypes.CDLL("libstdc++.so.6", mode=ctypes.RTLD_GLOBAL)
        steps: list[tuple[str, int]] = []
        from photofinish.server.backend import gpu_engine
        from photofinish.server.backend.engine import open_model
        from photofinish.server.backend.engines import torch_programs

        def noted(owner: Any, method: str, words: str) -> None:
            plain = getattr(owner, method)

            def call(*args: Any, **kwargs: Any) -> Any:
                result = plain(*args, **kwargs)
                said = words.format(*args[1:2])
                steps.append((said, used()))
                return result

            setattr(owner, method, call)

        noted(torch_programs, "_compiled_program", "packages loaded")
        noted(torch_programs, "_torchscript_program", "program loaded")
        noted(gpu_engine.GpuEngine, "_warm_up", "batch {} warm")
        noted(gpu_engine.GpuEngine, "_prepare", "batch {} recorded")
        _, engine = open_model(arguments)
        steps.append(("served", used()))
        import torch

        return {
            "setting": setting,
            "steps": steps,
            "engine_mib": engine.gpu_bytes >> 20,
            "torch_held_mib": torch.cuda.memory_reserved(number) >> 20,
            "torch_used_mib": torch.cuda.memory_allocated(number) >> 20,
        }


def _meter(nvml: Any, number: int) -> Callable[[], int]:
    """A function that tells the MiB in use beyond those of now."""
    if nvml is None:
        raise click.ClickException("no NVIDIA GPU is here")
    before = bytes_in_use(nvml)[number]
    return lambda: (bytes_in_use(nvml)[number] - before) >> 20


def arguments_of(card: ModelCard, directory: Path, number: int) -> dict[str, str]:
    """What Triton would hand to the model's process."""
    from photofinish.perf.engine.tensorrt import config_from_card

    return {
        "model_config": json.dumps(config_from_card(card, card.batch_buckets)),
        "model_instance_kind": "GPU",
        "model_instance_device_id": str(number),
        "model_repository": str(directory.parent),
        "model_version": directory.name,
    }


def _alone(row: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """The row by a process of its own, printed; where that fails or dies, what it was asked and why."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        try:
            told = process.submit(row, *arguments).result()
        except Exception as exc:  # one setting that a library refuses must not cost the other rows
            told = {"asked": arguments[1:], "error": f"{type(exc).__name__}: {exc}"}
    click.echo(told)
    return told


@click.command()
@click.option("--repository", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--variant", "variants", multiple=True, help="Full name or suffix; several are taken in turn.")
@click.option("--gpu", "number", default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(repository: Path, variants: tuple[str, ...], number: int, out: Path) -> None:
    """Write the rows as JSON, and print them."""
    stacks = [*((stack, False) for stack in STACKS), (256, True)]
    found: dict[str, Any] = {"stacks": [_alone(stack_row, number, *asked) for asked in stacks], "engines": {}}
    for artifact in artifacts_in(repository, variants):
        arguments = arguments_of(artifact.card, artifact.directory, number)
        found["engines"][artifact.card.variant] = [
            _alone(engine_row, number, arguments, setting) for setting in SETTINGS
        ]
    out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
