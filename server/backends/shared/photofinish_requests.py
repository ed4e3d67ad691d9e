"""Triton's requests answered in batches: inputs taken out, run together, outputs sent back to each.

Copied beside each model.py in the server's backend directory: imports nothing of Photofinish.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import triton_python_backend_utils as pb_utils
from photofinish_batches import Arrays, Part
from photofinish_model import ServedModel
from photofinish_tensors import TensorInput, tensor_from_array

RunParts = Callable[[Sequence[Part]], Sequence[Arrays]]
"""Runs the inputs of several requests together; returns the outputs of each, valid until its next run."""


def answer(requests: Sequence[Any], model: ServedModel, run_parts: RunParts) -> list[Any]:
    """One response per request, in order. A request that fails does so alone."""
    responses: list[Any] = [None] * len(requests)
    groups: dict[Any, list[tuple[int, Part]]] = {}
    for index, request in enumerate(requests):
        part = _inputs(request, model)
        # Only requests whose shapes agree behind the batch dimension can share one execution.
        shapes = tuple(item.shape[1:] for item in part) if model.max_batch_size else index
        groups.setdefault(shapes, []).append((index, part))
    for members in groups.values():
        _answer_group(members, responses, model, run_parts, is_only_run=len(groups) == 1)
    return responses


def _answer_group(
    members: Sequence[tuple[int, Part]],
    responses: list[Any],
    model: ServedModel,
    run_parts: RunParts,
    *,
    is_only_run: bool,
) -> None:
    try:
        results = run_parts([part for _, part in members])
        for (index, _), outputs in zip(members, results, strict=True):
            # Triton takes the responses when all are there: another run would overwrite these outputs before.
            kept = outputs if is_only_run else [output.copy() for output in outputs]
            responses[index] = _response(kept, model)
    except Exception as exc:  # the engines raise classes of their own; the client gets the text
        if len(members) == 1:
            responses[members[0][0]] = _error_response(model, exc)
            return
        for member in members:
            _answer_group([member], responses, model, run_parts, is_only_run=False)


def _inputs(request: Any, model: ServedModel) -> Part:
    """The request's inputs in the order of config.pbtxt. Triton has checked that each is there, once."""
    tensors = request.inputs()
    if len(tensors) == 1:
        return [TensorInput(tensors[0])]
    by_name = {tensor.name(): tensor for tensor in tensors}
    return [TensorInput(by_name[io.name]) for io in model.inputs]


def _response(outputs: Arrays, model: ServedModel) -> Any:
    tensors = [tensor_from_array(io.name, array) for io, array in zip(model.outputs, outputs, strict=True)]
    return pb_utils.InferenceResponse(tensors)


def _error_response(model: ServedModel, error: Exception) -> Any:
    text = f"{model.name} failed on this request: {error}"
    return pb_utils.InferenceResponse([], error=pb_utils.TritonError(text))
