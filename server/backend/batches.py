"""Batches: several requests joined into one execution and its outputs split again; one that fails does so alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from .model import ConfiguredModel, RefusedModelError

Array = npt.NDArray[Any]
Arrays = list[Array]
"""One array per output, or per input, in the order of config.pbtxt."""


class Input(Protocol):
    """One input of one request, wherever its memory is."""

    shape: tuple[int, ...]

    def array(self) -> Array:
        """The input as an array in host memory."""

    def location(self) -> tuple[int, bool]:
        """The address, and whether it is on a GPU."""


Part = Sequence[Input]
"""The inputs of one request."""
RunParts = Callable[[Sequence[Part]], Sequence[Arrays]]
"""Runs the inputs of several requests together; returns the outputs of each, valid until its next run."""


class ArrayInput:
    """An array in the place of a request's input, for warm-up and checks."""

    __slots__ = ("_array", "shape")

    def __init__(self, array: Array) -> None:
        self._array = np.ascontiguousarray(array)
        self.shape = array.shape

    def array(self) -> Array:
        """The array."""
        return self._array

    def location(self) -> tuple[int, bool]:
        """The address, and that it is not on a GPU."""
        return self._array.__array_interface__["data"][0], False


def run_joined(parts: Sequence[Part], run: Callable[[Arrays], Arrays]) -> list[Arrays]:
    """Run the inputs of all parts as one batch in host memory. Outputs are views of the batch's."""
    if len(parts) == 1:
        return [run([item.array() for item in parts[0]])]
    joined = [np.concatenate([item.array() for item in items]) for items in zip(*parts, strict=True)]
    return split_outputs(run(joined), [part[0].shape[0] for part in parts])


def split_outputs(outputs: Arrays, sizes: Sequence[int]) -> list[Arrays]:
    """The rows of each part, as views. Raises ValueError unless every output has a row for each picture."""
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


def zeros_for(model: ConfiguredModel, batch_size: int) -> Arrays:
    """Inputs of zeros for one batch; batch_size 0 for a model without a batch dimension."""
    return [np.zeros(io.shape(batch_size), io.dtype) for io in model.inputs]


def check_outputs(model: ConfiguredModel, run: Callable[[Arrays], Arrays]) -> None:
    """Run zeros through the model and raise RefusedModelError unless the outputs are as configured.

    Batch sizes 1 and 2 are tried, so that an artifact with a fixed batch is found at load. A model with variable
    dimensions is not run, since no shape is known to suit it.
    """
    if not model.has_fixed_shapes:
        return
    for size in (1, 2)[: model.max_batch_size] or (0,):
        try:
            outputs = run(zeros_for(model, size))
        except Exception as exc:  # whatever the engine raises is the reason
            raise RefusedModelError(f"{model.name} fails on a batch of {size or 1} zeros: {exc}") from exc
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


def run_each(
    parts: Sequence[Part], model: ConfiguredModel, run_parts: RunParts, *, has_gaps: bool = False
) -> list[Arrays | Exception]:
    """The outputs of each request, in order, or the error that it alone caused.

    has_gaps: others stood between them, and were refused.
    """
    results: list[Any] = [None] * len(parts)
    if has_gaps and lie_in_place(parts):
        for index in range(len(parts)):
            _run_group([index], parts, results, run_parts, is_only_run=False)
        return results
    if len(parts) == 1:
        _run_group([0], parts, results, run_parts, is_only_run=True)
        return results
    groups: dict[Any, list[int]] = {}
    for index, part in enumerate(parts):
        # Only requests whose shapes agree behind the batch dimension can share one execution.
        shapes = tuple(item.shape[1:] for item in part) if model.max_batch_size else index
        groups.setdefault(shapes, []).append(index)
    for members in groups.values():
        _run_group(members, parts, results, run_parts, is_only_run=len(groups) == 1)
    return results


def lie_in_place(parts: Sequence[Part]) -> bool:
    """Whether pictures lie in the GPU's own buffer, where a gap before them is closed by moving them over each other.

    One that was moved together with others cannot be run again alone.
    """
    return any(item.location()[1] for part in parts for item in part)


def _run_group(
    members: Sequence[int], parts: Sequence[Part], results: list[Any], run_parts: RunParts, *, is_only_run: bool
) -> None:
    try:
        found = run_parts([parts[index] for index in members])
        for index, outputs in zip(members, found, strict=True):
            # The results are read when all are there: another run would overwrite these outputs before.
            results[index] = outputs if is_only_run else [output.copy() for output in outputs]
    except Exception as exc:  # the engines raise classes of their own; the client gets the text
        if len(members) == 1:
            results[members[0]] = exc
            return
        for index in members:
            _run_group([index], parts, results, run_parts, is_only_run=False)
