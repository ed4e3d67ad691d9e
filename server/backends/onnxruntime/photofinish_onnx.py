"""ONNX Runtime sessions, and the comparison of a model with its config that the genuine backend makes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
from photofinish_model import Io, RefusedModelError, ServedModel, thread_count

_NUMPY_NAMES = {
    "tensor(bool)": "bool",
    "tensor(float16)": "float16",
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    **{f"tensor({kind}{bits})": f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)},
}


def open_session(model: ServedModel) -> Any:
    """A session on the model's device. Raises RefusedModelError, also when ONNX Runtime falls back to the CPU."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = thread_count(model)
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    providers: list[Any] = ["CPUExecutionProvider"]
    if model.device == "cuda":
        _require_cuda(model)
        settings = {
            "device_id": str(model.device_id),
            "use_tf32": "1" if model.card.get("tf32") else "0",
            # EXHAUSTIVE searches again for every new batch size; DEFAULT is many times slower.
            "cudnn_conv_algo_search": "HEURISTIC",
        }
        providers.insert(0, ("CUDAExecutionProvider", settings))
    try:
        session = ort.InferenceSession(str(model.artifact), options, providers=providers)
    except Exception as exc:  # ONNX Runtime raises classes of its own, all derived from Exception
        raise RefusedModelError(f"ONNX Runtime {ort.__version__} cannot load {model.artifact}: {exc}") from exc
    found = session.get_providers()[0]
    if model.device == "cuda" and found != "CUDAExecutionProvider":
        raise RefusedModelError(f"ONNX Runtime fell back to {found}, expected CUDAExecutionProvider; {_CUDA_REMEDY}")
    return session


_CUDA_REMEDY = (
    "install onnxruntime-gpu for this machine's CUDA in place of onnxruntime, or export with --device cpu "
    "(`photofinish doctor` says what is missing)"
)


def _require_cuda(model: ServedModel) -> None:
    available = ort.get_available_providers()
    if "CUDAExecutionProvider" not in available:
        raise RefusedModelError(
            f"{model.name} is configured for a GPU and this ONNX Runtime {ort.__version__} has only {available}; "
            f"{_CUDA_REMEDY}"
        )
    if hasattr(ort, "preload_dlls"):
        ort.preload_dlls()


def check_against_config(model: ServedModel, session: Any) -> None:
    """Raise RefusedModelError where the genuine backend would: names, count, dtype, dims, a static batch."""
    inputs = {item.name: item for item in session.get_inputs()}
    outputs = {item.name: item for item in session.get_outputs()}
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


def _check_io(kind: str, io: Io, node: Any, max_batch_size: int, *, exact: bool) -> None:
    found_dtype = _NUMPY_NAMES.get(node.type, node.type)
    if found_dtype != io.dtype.name:
        raise RefusedModelError(f"{kind} {io.name!r} is {found_dtype} in the model, config.pbtxt states {io.dtype}")
    found = tuple(dim if isinstance(dim, int) else -1 for dim in node.shape)
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


def zeros_like_inputs(model: ServedModel, batch_size: int) -> list[np.ndarray]:
    """Inputs of zeros for one batch."""
    return [np.zeros(io.shape(batch_size), io.dtype) for io in model.inputs]
