"""What Triton's Python backend loads for each of our backends, where the bridge cannot be built."""

from __future__ import annotations

from typing import Any

import triton_python_backend_utils as pb_utils

from ..batches import check_outputs
from ..engine import open_model
from ..model import RefusedModelError
from .gauges import publish_memory
from .requests import answer
from .tensors import check_round_trip


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
