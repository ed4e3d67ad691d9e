"""Triton's `tensorrt` backend in Python, for the embedded server: engines of `tensorrt` and of `tensorrt_rtx`."""

from __future__ import annotations

import json
from typing import Any

import triton_python_backend_utils as pb_utils
from photofinish_buckets import BucketRunner
from photofinish_engine import LoadedEngine, check_against_config, engine_for_gpu, load_engine
from photofinish_model import RefusedModelError, served_model
from photofinish_requests import answer, check_round_trip


class TritonPythonModel:
    """One instance of a TensorRT engine."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load, check and prepare the engine. Triton shows the exception's text when it is refused."""
        try:
            self.model = served_model(args, "model.plan")
            check_round_trip(self.model)
            path = engine_for_gpu(self.model, json.loads(args["model_config"]))
            self.engine: LoadedEngine = load_engine(self.model, path)
            check_against_config(self.model, self.engine)
            self.runner = BucketRunner(self.model, self.engine.launcher(self.model))
        except RefusedModelError as exc:
            raise pb_utils.TritonModelException(str(exc)) from exc
        for notice in self.engine.notices:
            pb_utils.Logger.log_warn(f"{self.model.name}: {notice}")

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response per request."""
        return answer(requests, self.model, self.runner.run_parts)
