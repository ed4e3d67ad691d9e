"""Triton's `onnxruntime` backend in Python, for the embedded server: the same models as the genuine one."""

from __future__ import annotations

from typing import Any

import triton_python_backend_utils as pb_utils
from photofinish_batches import check_outputs, run_joined
from photofinish_model import RefusedModelError, served_model
from photofinish_onnx import check_against_config, open_session
from photofinish_requests import answer, check_round_trip


class TritonPythonModel:
    """One instance of an ONNX model."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load and check the model. Triton shows the exception's text when it is refused."""
        try:
            self.model = served_model(args, "model.onnx")
            check_round_trip(self.model)
            session = open_session(self.model)
            check_against_config(self.model, session)
            output_names = [io.name for io in self.model.outputs]
            input_names = [io.name for io in self.model.inputs]

            def run(arrays: list[Any]) -> list[Any]:
                found: list[Any] = session.run(output_names, dict(zip(input_names, arrays, strict=True)))
                return found

            check_outputs(self.model, run)
        except RefusedModelError as exc:
            raise pb_utils.TritonModelException(str(exc)) from exc
        self._run = run

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response per request."""
        return answer(requests, self.model, lambda parts: run_joined(parts, self._run))
