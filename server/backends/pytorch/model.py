"""Triton's `pytorch` backend in Python, for the embedded server: TorchScript models as the genuine one takes them."""

from __future__ import annotations

from typing import Any

import triton_python_backend_utils as pb_utils
from photofinish_batches import check_outputs, run_joined
from photofinish_model import RefusedModelError, served_model
from photofinish_requests import answer, check_round_trip
from photofinish_torch import check_names, load_torchscript, runner


class TritonPythonModel:
    """One instance of a TorchScript model."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load and check the model. Triton shows the exception's text when it is refused."""
        try:
            self.model = served_model(args, "model.pt")
            check_round_trip(self.model)
            module = load_torchscript(self.model)
            check_names(self.model, module)
            self._run = runner(self.model, module)
            check_outputs(self.model, self._run)
        except RefusedModelError as exc:
            raise pb_utils.TritonModelException(str(exc)) from exc

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response per request."""
        return answer(requests, self.model, lambda parts: run_joined(parts, self._run))
