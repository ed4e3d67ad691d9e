"""The comparison of a model with its config.pbtxt that Triton's genuine backends make at load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .model import ConfiguredModel, Io, RefusedModelError


@dataclass(frozen=True)
class Node:
    """An input or output as the model has it: numpy's name of the dtype; the whole shape, -1 where dynamic."""

    dtype: str
    shape: tuple[int, ...]


def check_against_config(model: ConfiguredModel, inputs: Mapping[str, Node], outputs: Mapping[str, Node]) -> None:
    """Raise RefusedModelError where the genuine backend would: names, count, dtype, dims, a static batch."""
    if {io.name for io in model.inputs} != set(inputs):
        raise RefusedModelError(
            f"config.pbtxt names the inputs {[io.name for io in model.inputs]}, the model has {list(inputs)}"
        )
    if unknown := [io.name for io in model.outputs if io.name not in outputs]:
        raise RefusedModelError(f"config.pbtxt names the outputs {unknown}, the model has {list(outputs)}")
    for io in model.inputs:
        _check_io("input", io, inputs[io.name], model.max_batch_size, exact=False)
    for io in model.outputs:
        _check_io("output", io, outputs[io.name], model.max_batch_size, exact=True)


def _check_io(kind: str, io: Io, node: Node, max_batch_size: int, *, exact: bool) -> None:
    """exact: a dynamic dimension of the model must be -1 in the config; else it takes any."""
    if node.dtype != io.dtype.name:
        raise RefusedModelError(f"{kind} {io.name!r} is {node.dtype} in the model, config.pbtxt states {io.dtype}")
    found = node.shape
    if max_batch_size:
        if not found or found[0] != -1:
            raise RefusedModelError(
                f"{kind} {io.name!r} has the shape {list(found)} in the model; with max_batch_size {max_batch_size} "
                "its first dimension must be dynamic: export with a dynamic batch or set max_batch_size to 0"
            )
        found = found[1:]
    agrees = len(found) == len(io.dims) and all(
        have == stated or (have == -1 and not exact) for have, stated in zip(found, io.dims, strict=True)
    )
    if not agrees:
        raise RefusedModelError(
            f"{kind} {io.name!r} has the dims {list(found)} in the model, config.pbtxt states {list(io.dims)}"
        )
