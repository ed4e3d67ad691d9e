"""Batches: several requests joined into one execution and its outputs split again.

Copied beside each model.py in the server's backend directory: imports nothing of Photofinish.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from photofinish_model import RefusedModelError, ServedModel

Arrays = list[np.ndarray]


def run_joined(parts: Sequence[Arrays], run: Callable[[Arrays], Arrays]) -> list[Arrays]:
    """Run the inputs of all parts as one batch. Outputs are views of the batch's, cut along the first dimension."""
    if len(parts) == 1:
        return [run(parts[0])]
    joined = [np.concatenate(pieces) for pieces in zip(*parts, strict=True)]
    return split_outputs(run(joined), [len(arrays[0]) for arrays in parts])


def split_outputs(outputs: Arrays, sizes: Sequence[int]) -> list[Arrays]:
    """The rows of each part, as views. Raises ValueError unless every output has one row per picture."""
    total = sum(sizes)
    for output in outputs:
        if output.ndim == 0 or len(output) < total:
            raise ValueError(f"a batch of {total} gave an output of shape {output.shape}")
    parts = []
    start = 0
    for size in sizes:
        parts.append([output[start : start + size] for output in outputs])
        start += size
    return parts


def bucket_for(batch_size: int, buckets: Sequence[int]) -> int:
    """The smallest prepared batch size that holds `batch_size`. Raises ValueError when none does."""
    for bucket in buckets:
        if bucket >= batch_size:
            return bucket
    raise ValueError(f"a batch of {batch_size} is larger than the largest prepared size {buckets[-1]}")


def check_outputs(model: ServedModel, run: Callable[[Arrays], Arrays]) -> None:
    """Run zeros through the model and raise RefusedModelError unless the outputs are as configured.

    Batch sizes 1 and 2 are tried, so that an artifact with a fixed batch is found at load. A model with variable
    dimensions is not run, since no shape is known to suit it.
    """
    if not model.has_fixed_shapes:
        return
    sizes = (0,) if not model.max_batch_size else (1, 2)[: model.max_batch_size]
    for size in sizes:
        inputs = [np.zeros(io.shape(size), io.dtype) for io in model.inputs]
        try:
            outputs = run(inputs)
        except Exception as exc:  # whatever the engine raises is the reason
            raise RefusedModelError(f"{model.name} fails on a batch of {size} zeros: {exc}") from exc
        if len(outputs) != len(model.outputs):
            raise RefusedModelError(
                f"{model.name} returns {len(outputs)} outputs, config.pbtxt names {len(model.outputs)}"
            )
        for io, output in zip(model.outputs, outputs, strict=True):
            if output.dtype != io.dtype or output.shape != io.shape(size):
                raise RefusedModelError(
                    f"output {io.name!r} is {output.dtype} with shape {output.shape} for a batch of {size}, "
                    f"config.pbtxt states {io.dtype} with shape {io.shape(size)}"
                )
