"""An ONNX model on the CPU by OpenVINO, in the precision that the card states, or refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino

from ..agreement import Node, check_against_config
from ..batches import Arrays
from ..engine import CpuEngine, Engine
from ..model import ConfiguredModel, RefusedModelError, thread_count

_HINTS = {"fp32": "f32", "int8": "f32", "fp16": "f16", "bf16": "bf16"}
"""OpenVINO's inference precision for each of ours. An INT8 graph carries its own; what is left of it runs in f32."""
_NEEDS = {"fp16": "FP16", "bf16": "BF16"}
"""The processor's ability that a precision needs; without it OpenVINO would silently compute in f32."""


def open_engine(model: ConfiguredModel) -> Engine:
    """The engine of a model, compiled. Raises RefusedModelError."""
    return OpenvinoEngine(model)


class OpenvinoEngine(CpuEngine):
    """An ONNX model on the CPU: one compiled program per picture, its shapes fixed, and one for every other batch.

    Fixed shapes let OpenVINO plan memory and kernels at load; batches of other sizes go by the second program.
    """

    def __init__(self, model: ConfiguredModel) -> None:
        """Load, check and compile the model. Raises RefusedModelError."""
        if model.device != "cpu":
            raise RefusedModelError(f"{model.name} asks for a GPU; the openvino backend runs on the CPU")
        core = openvino.Core()
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": "1",
            "INFERENCE_NUM_THREADS": str(thread_count(model)),
            "INFERENCE_PRECISION_HINT": _precision_hint(model, core),
        }
        artifact = model.artifact()
        try:
            network = core.read_model(str(artifact))
            check_against_config(model, _nodes(network.inputs), _nodes(network.outputs))
            self._any_batch = core.compile_model(network, "CPU", settings).create_infer_request()
            self._single = self._any_batch
            if model.max_batch_size and model.has_fixed_shapes:
                network.reshape({io.name: io.shape(1) for io in model.inputs})
                self._single = core.compile_model(network, "CPU", settings).create_infer_request()
        except RuntimeError as exc:
            reason = str(exc).strip().splitlines()[-1]
            raise RefusedModelError(f"OpenVINO {openvino.__version__} cannot load {artifact}: {reason}") from exc
        self._model = model

    def run_arrays(self, arrays: Arrays) -> Arrays:
        """The outputs of one batch, valid until the next run."""
        request = self._single if len(arrays[0]) == 1 else self._any_batch
        inputs = {io.name: array for io, array in zip(self._model.inputs, arrays, strict=True)}
        found = request.infer(inputs, share_inputs=True, share_outputs=True)
        return [np.ascontiguousarray(found[io.name]) for io in self._model.outputs]


def _precision_hint(model: ConfiguredModel, core: Any) -> str:
    """The precision to compute in. Raises RefusedModelError when this processor would do something else."""
    precision = model.card.get("precision", "fp32")
    abilities = list(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
    if precision not in _HINTS:
        raise RefusedModelError(
            f"the openvino backend runs {sorted(_HINTS)}, the card of {model.name} says {precision!r}"
        )
    if (needed := _NEEDS.get(precision)) and needed not in abilities:
        name = str(core.get_property("CPU", "FULL_DEVICE_NAME")).strip()
        raise RefusedModelError(
            f"{model.name} is made for {precision}, and this processor ({name}) computes in {abilities}; "
            "leave this variant out and use the fp32 or int8 one"
        )
    return _HINTS[precision]


def _nodes(ports: Any) -> dict[str, Node]:
    return {
        port.any_name: Node(
            np.dtype(port.element_type.to_dtype()).name,
            tuple(dim.get_length() if dim.is_static else -1 for dim in port.partial_shape),
        )
        for port in ports
    }
