"""Triton's `pytorch` backend in Python, for the embedded server: TorchScript, and AOTInductor's packages."""

from __future__ import annotations

from typing import Any

import triton_python_backend_utils as pb_utils
from photofinish_batches import check_outputs
from photofinish_engines import open_engine
from photofinish_memory import InstanceMemory
from photofinish_model import RefusedModelError, served_model
from photofinish_requests import answer
from photofinish_tensors import check_round_trip


class TritonPythonModel:
    """One instance of a TorchScript module or of a compiled package."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load and check the model. Triton shows the exception's text when it is refused."""
        try:
            self._model = served_model(args, "model.pt")
            check_round_trip(self._model)
            self._engine = open_engine(self._model)
            check_outputs(self._model, self._engine.run_arrays)
        except RefusedModelError as exc:
            raise pb_utils.TritonModelException(str(exc)) from exc
        self._memory = InstanceMemory(self._model, self._engine.gpu_bytes)

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response per request."""
        return answer(requests, self._model, self._engine.run)
