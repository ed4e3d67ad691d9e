"""Triton's tensors as numpy arrays or bare addresses, and arrays as Triton's tensors; nothing is copied.

Tensors cross by DLPack only: Triton 2.51's stub was built for numpy 1 and reads numpy 2's arrays wrongly.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from ..batches import Array
from ..model import ConfiguredModel, RefusedModelError

CPU_DEVICES = (1, 3)
"""DLPack's device types for host memory: plain and pinned."""
_NEW_COPY = 85
"""Index of PyArray_NewCopy in numpy's C API table, fixed since numpy 1.0."""
_TABLE_LENGTH = 320

_capsule_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_capsule_pointer.argtypes = (ctypes.py_object, ctypes.c_char_p)
_capsule_pointer.restype = ctypes.c_void_p
_set_capsule_name = ctypes.pythonapi.PyCapsule_SetName
_set_capsule_name.argtypes = (ctypes.py_object, ctypes.c_char_p)
_set_capsule_name.restype = ctypes.c_int
_USED = ctypes.c_char_p(b"used_dltensor")


class _DlTensor(ctypes.Structure):
    """The head of DLPack's DLManagedTensor, as far as an address needs it."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("dtype", ctypes.c_uint32),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("byte_offset", ctypes.c_uint64),
    )


class TensorInput:
    """One input of one request. The capsule keeps Triton's tensor alive; the memory is the request's own."""

    __slots__ = ("_array", "_capsule", "shape")

    def __init__(self, tensor: Any) -> None:
        self._array: Array | None = None
        self._capsule = tensor.to_dlpack()
        self.shape = tuple(tensor.shape())

    def __dlpack__(self, **wishes: object) -> Any:
        """The capsule, whatever version is asked for: the stub speaks only the first."""
        return self._capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        """Host memory; numpy asks before it takes the capsule."""
        return (1, 0)

    def array(self) -> Array:
        """The tensor as an array; it must be in host memory."""
        if self._array is None:
            self._array = np.from_dlpack(self)
        return self._array

    def location(self) -> tuple[int, bool]:
        """The address, and whether it is on a GPU."""
        if self._array is not None:  # numpy has taken the capsule
            return self._array.__array_interface__["data"][0], False
        head = _DlTensor.from_address(_capsule_pointer(self._capsule, b"dltensor"))
        return head.data + head.byte_offset, head.device_type not in CPU_DEVICES


def tensor_from_array(name: str, array: Array) -> Any:
    """A Triton tensor that shares the memory of a contiguous array.

    Triton renames a consumed capsule to "used_dlpack"; numpy knows only the standard's "used_dltensor" and would print
    an error for each tensor when it frees the capsule.
    """
    capsule = array.__dlpack__()
    tensor = pb_utils.Tensor.from_dlpack(name, capsule)
    _set_capsule_name(capsule, _USED)
    return tensor


def check_round_trip(model: ConfiguredModel) -> None:
    """Raise RefusedModelError unless arrays pass through Triton's tensors unchanged."""
    if int(np.__version__.split(".", 1)[0]) < 2:
        # Under numpy 1 the stub dies in from_dlpack.
        raise RefusedModelError(f"this backend needs numpy 2 or newer, found {np.__version__}; pip install 'numpy>=2'")
    stop_needless_copies()
    if copies_tensors():
        sys.stderr.write(f"photofinish: {model.name}: Triton's stub copies every tensor once more than it needs to\n")
    for io in (*model.inputs, *model.outputs):
        sent = np.arange(24).reshape(2, 3, 4).astype(io.dtype)
        received = TensorInput(tensor_from_array(io.name, sent)).array()
        if received.dtype != sent.dtype or not np.array_equal(received, sent):
            raise RefusedModelError(
                f"an array of {io.dtype} does not survive Triton's tensors with numpy {np.__version__}; "
                "install the versions of Photofinish's constraints"
            )


def stop_needless_copies() -> None:
    """Keep the stub from copying every host tensor into a numpy array that nobody reads.

    For each tensor the stub makes a numpy array through pybind11, which copies the memory with PyArray_NewCopy since it
    has no owner: 0.2 ms for a picture of 640 × 640, and wrong under numpy 2 besides. pybind11 takes numpy's C API table
    from `numpy.core.multiarray`, a name that numpy 2 keeps for such old modules alone, when the first tensor is made.
    So a table whose PyArray_NewCopy only adds a reference stands there while one tensor is made. The tensors' memory
    belongs to Triton and outlives the arrays. Call it before any other tensor is made; a second call changes nothing.
    """
    import numpy.core.multiarray as table_holder

    genuine = table_holder._ARRAY_API
    entries = (ctypes.c_void_p * _TABLE_LENGTH).from_address(_capsule_pointer(genuine, None))
    ctypes.memmove(_borrowing_table, entries, ctypes.sizeof(entries))
    _borrowing_table[_NEW_COPY] = ctypes.cast(ctypes.pythonapi.Py_NewRef, ctypes.c_void_p).value
    new_capsule = ctypes.pythonapi.PyCapsule_New
    new_capsule.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
    new_capsule.restype = ctypes.py_object
    table_holder._ARRAY_API = new_capsule(ctypes.addressof(_borrowing_table), None, None)
    try:
        tensor_from_array("first", np.zeros(1, np.uint8))
    finally:
        table_holder._ARRAY_API = genuine


_borrowing_table = (ctypes.c_void_p * _TABLE_LENGTH)()


def copies_tensors() -> bool:
    """Whether the stub still copies: `stop_needless_copies` came too late or found another stub."""
    array = np.zeros(16, np.uint8)
    seen = tensor_from_array("probe", array).as_numpy()
    return bool(seen.__array_interface__["data"][0] != array.__array_interface__["data"][0])
