"""Triton's requests answered in batches: inputs taken out, run together, outputs sent back to each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import triton_python_backend_utils as pb_utils

from ..answers import RunParts, run_each
from ..batches import Arrays, Part
from ..model import ConfiguredModel
from .tensors import TensorInput, tensor_from_array


def answer(requests: Sequence[Any], model: ConfiguredModel, run_parts: RunParts) -> list[Any]:
    """One response per request, in order. A request that fails does so alone."""
    results = run_each([_inputs(request, model) for request in requests], model, run_parts)
    return [
        _error_response(model, result) if isinstance(result, Exception) else _response(result, model)
        for result in results
    ]


def _inputs(request: Any, model: ConfiguredModel) -> Part:
    """The request's inputs in the order of config.pbtxt. Triton has checked that each is there, once."""
    tensors = request.inputs()
    if len(tensors) == 1:
        return [TensorInput(tensors[0])]
    by_name = {tensor.name(): tensor for tensor in tensors}
    return [TensorInput(by_name[io.name]) for io in model.inputs]


def _response(outputs: Arrays, model: ConfiguredModel) -> Any:
    tensors = [tensor_from_array(io.name, array) for io, array in zip(model.outputs, outputs, strict=True)]
    return pb_utils.InferenceResponse(tensors)


def _error_response(model: ConfiguredModel, error: Exception) -> Any:
    text = f"{model.name} failed on this request: {error}"
    return pb_utils.InferenceResponse([], error=pb_utils.TritonError(text))
