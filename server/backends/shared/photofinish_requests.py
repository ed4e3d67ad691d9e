"""Triton's requests to arrays and back: joined into one batch, run once, split again.

Tensors cross by DLPack only: Triton 2.51's stub corrupts numpy arrays when numpy is 2 or newer.
Copied beside each model.py in the server's backend directory: imports nothing of Photofinish.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from photofinish_model import RefusedModelError, ServedModel

Arrays = list[np.ndarray]
"""One array per input, or per output, in the order of config.pbtxt."""
RunParts = Callable[[Sequence[Arrays]], Sequence[Arrays]]
"""Runs the inputs of several requests together; returns the outputs of each."""

_USED = ctypes.c_char_p(b"used_dltensor")
_set_capsule_name = ctypes.pythonapi.PyCapsule_SetName
_set_capsule_name.argtypes = (ctypes.py_object, ctypes.c_char_p)
_set_capsule_name.restype = ctypes.c_int


def tensor_from_array(name: str, array: np.ndarray) -> Any:
    """A Triton tensor that shares the memory of a contiguous array.

    Triton renames a consumed capsule to "used_dlpack"; numpy knows only the standard's "used_dltensor" and would print
    an error for each tensor when it frees the capsule.
    """
    capsule = array.__dlpack__()
    tensor = pb_utils.Tensor.from_dlpack(name, capsule)
    _set_capsule_name(capsule, _USED)
    return tensor


def check_round_trip(model: ServedModel) -> None:
    """Raise RefusedModelError unless arrays pass through Triton's tensors unchanged."""
    if int(np.__version__.split(".", 1)[0]) < 2:
        # Under numpy 1 the stub dies in from_dlpack.
        raise RefusedModelError(f"this backend needs numpy 2 or newer, found {np.__version__}; pip install 'numpy>=2'")
    for io in (*model.inputs, *model.outputs):
        sent = np.arange(24).reshape(2, 3, 4).astype(io.dtype)
        received = np.from_dlpack(tensor_from_array(io.name, sent))
        if received.dtype != sent.dtype or not np.array_equal(received, sent):
            raise RefusedModelError(
                f"an array of {io.dtype} does not survive Triton's tensors with numpy {np.__version__}; "
                "install the versions of Photofinish's constraints"
            )


def answer(requests: Sequence[Any], model: ServedModel, run_parts: RunParts) -> list[Any]:
    """One response per request, in order. A request that fails does so alone."""
    responses: list[Any] = [None] * len(requests)
    groups: dict[tuple[tuple[int, ...], ...], list[tuple[int, Arrays]]] = {}
    for index, request in enumerate(requests):
        try:
            arrays = _input_arrays(request, model)
        except (RuntimeError, ValueError, BufferError, KeyError) as exc:
            responses[index] = _error_response(model, exc)
            continue
        # Only requests whose shapes agree behind the batch dimension can share one execution.
        alone = (index,) if not model.max_batch_size else ()
        shapes = (alone, *(array.shape[1:] for array in arrays))
        groups.setdefault(shapes, []).append((index, arrays))
    for members in groups.values():
        _answer_group(members, responses, model, run_parts)
    return responses


def _answer_group(
    members: Sequence[tuple[int, Arrays]], responses: list[Any], model: ServedModel, run_parts: RunParts
) -> None:
    try:
        results = run_parts([arrays for _, arrays in members])
        for (index, _), outputs in zip(members, results, strict=True):
            responses[index] = _response(outputs, model)
    except Exception as exc:  # the engines raise classes of their own; the client gets the text
        if len(members) == 1:
            responses[members[0][0]] = _error_response(model, exc)
            return
        for member in members:
            _answer_group([member], responses, model, run_parts)


def _input_arrays(request: Any, model: ServedModel) -> Arrays:
    tensors = request.inputs()
    if len(tensors) == 1 and len(model.inputs) == 1:
        return [np.from_dlpack(tensors[0])]
    by_name = {tensor.name(): tensor for tensor in tensors}
    return [np.from_dlpack(by_name[io.name]) for io in model.inputs]


def _response(outputs: Arrays, model: ServedModel) -> Any:
    tensors = [tensor_from_array(io.name, array) for io, array in zip(model.outputs, outputs, strict=True)]
    return pb_utils.InferenceResponse(tensors)


def _error_response(model: ServedModel, error: Exception) -> Any:
    text = f"{model.name} failed on this request: {error}"
    return pb_utils.InferenceResponse([], error=pb_utils.TritonError(text))
