"""What Triton's Python backend loads for each of our backends, where the bridge cannot be built.

It takes the inputs out of Triton's requests, runs them together and sends the outputs back to each.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import triton_python_backend_utils as pb_utils

from ..batches import Arrays, Part, RunParts, check_outputs, run_each
from ..engine import open_model
from ..memory import memory_figures
from ..model import ConfiguredModel, RefusedModelError
from .tensors import TensorInput, check_round_trip, tensor_from_array


class TritonPythonModel:
    """One instance of a model."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load and check the model. Triton shows the exception's text when it is refused."""
        try:
            self._model, self._engine = open_model(args)
            check_round_trip(self._model)
            check_outputs(self._model, self._engine.run_arrays)
        except RefusedModelError as exc:
            raise pb_utils.TritonModelException(str(exc)) from exc
        # Triton drops a metric with its Python object.
        self._gauges = publish_memory(self._model, self._engine.gpu_bytes)

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response per request."""
        return answer(requests, self._model, self._engine.run)


def publish_memory(model: ConfiguredModel, gpu_bytes: int) -> list[tuple[Any, Any]]:
    """The gauges, which last as long as somebody keeps them. gpu_bytes: what loading took on the GPU, 0 on the CPU."""
    gauges = []
    for figure in memory_figures(model, gpu_bytes):
        family = pb_utils.MetricFamily(name=figure.metric, description=figure.text, kind=pb_utils.MetricFamily.GAUGE)
        labels = {"model": model.name, "instance": str(os.getpid()), "device": figure.device}
        gauge = family.Metric(labels=labels)
        gauge.set(figure.byte_size)
        gauges.append((family, gauge))
    return gauges


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
