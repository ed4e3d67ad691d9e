"""Layers compiled to machine code, many at a time, without a GPU in the processes that do it."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures import TimeoutError as FutureTimeoutError  # Python's own only from 3.11 on
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from photofinish.export.kernels.layers import layer_triton
from photofinish.export.kernels.layers.layer import Layer, LayerTensors, StageTensors, Tile
from photofinish.export.kernels.layers.layer_op import kernel_arguments

Job = tuple[Layer, Tile]


def compiled_layer(layer: Layer, tile: Tile, capability: int) -> Any:
    """Triton's compiled kernel; from its cache on disk where it was compiled before. capability: 90 for 9.0."""
    tensors = _stand_ins(layer)
    outputs = [torch.empty(0, dtype=torch.float16)] * 3
    arguments, constants = kernel_arguments(layer, tile, tensors, outputs)
    names = layer_triton.layer_kernel.arg_names
    signature = {
        name: "*u8" if tensor.dtype == torch.uint8 else "*fp16" for name, tensor in zip(names, arguments, strict=False)
    }
    signature |= dict.fromkeys(constants, "constexpr")
    aligned = {(place,): [["tt.divisibility", 16]] for place in range(len(arguments))}
    source = ASTSource(layer_triton.layer_kernel, signature, constants, aligned)
    options = {"num_warps": tile.warps, "num_stages": tile.flight}
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)


def _stand_ins(layer: Layer) -> LayerTensors:
    """Empty tensors of the right types: for the signature only."""
    half = torch.empty(0, dtype=torch.float16)
    first = torch.empty(0, dtype=torch.uint8) if layer.kind in ("frames", "pairs") else half
    return LayerTensors(
        depthwise_weight=half,
        depthwise_bias=half,
        stages=[
            StageTensors(
                sources=[half if index else first] * len(stage.sources),
                weight=half,
                bias=half,
                residual=half if stage.residual else None,
            )
            for index, stage in enumerate(layer.stages)
        ],
    )


def _compile_one(job: Job, capability: int) -> str:
    try:
        compiled_layer(*job, capability)
    except Exception as exc:
        # Whatever a compiler has to say against one tile of many; the search goes on without it.
        return f"{type(exc).__name__}: {exc}".splitlines()[0][:200]
    return ""


def compile_jobs(
    jobs: Sequence[Job],
    capability: int,
    *,
    workers: int,
    deadline_s: float,
    on_progress: Callable[[int, int], None],
) -> dict[Job, str]:
    """What became of each job: "" or why not. deadline_s: on `time.monotonic`; later jobs are "not in time"."""
    fates = dict.fromkeys(jobs, "not in time")
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = {pool.submit(_compile_one, job, capability): job for job in jobs}
        try:
            left_s = max(0.0, deadline_s - time.monotonic())
            for done, future in enumerate(as_completed(futures, timeout=left_s), start=1):
                fates[futures[future]] = future.result()
                on_progress(done, len(jobs))
        except FutureTimeoutError:
            pool.shutdown(wait=False, cancel_futures=True)
    return fates
