"""The few calls of CUDA's driver that moving batches needs, by ctypes: no CUDA toolkit, no torch."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from ..model import RefusedModelError

_SUCCESS = 0
_NOT_READY = 600
_NON_BLOCKING = 1
_PORTABLE = 1
_NO_TIMING = 2
CAPTURE_THREAD_LOCAL = 1
_STACK_SIZE_LIMIT = 0
_STACK_BYTES = 256


class CudaError(Exception):
    """A call of CUDA's driver failed."""


class Cuda:
    """One GPU's primary context, which ONNX Runtime and torch share, current in this thread."""

    def __init__(self, device_id: int, *, is_shared: bool = False) -> None:
        """Raise RefusedModelError when there is no driver or no such GPU.

        is_shared: other models use the context, each in a thread of its own. What was allocated here is then free when
        this object goes, and a graph that another thread records forbids this one nothing.
        """
        try:
            self._driver = ctypes.CDLL("libcuda.so.1")
        except OSError as exc:
            raise RefusedModelError(f"no CUDA driver found ({exc}); run `photofinish doctor`") from exc
        try:
            self._call("cuInit", 0)
            device = ctypes.c_int()
            self._call("cuDeviceGet", ctypes.byref(device), device_id)
            context = ctypes.c_void_p()
            self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
            self._call("cuCtxSetCurrent", context)
            self.stream = self.new_stream()
            if is_shared:
                self._call("cuThreadExchangeStreamCaptureMode", ctypes.byref(ctypes.c_int(CAPTURE_THREAD_LOCAL)))
        except CudaError as exc:
            raise RefusedModelError(f"GPU {device_id} cannot be used: {exc}; run `photofinish doctor`") from exc
        self._stream = ctypes.c_void_p(self.stream)
        self._context = context
        self._synchronize = self._driver.cuStreamSynchronize
        self._set_current = self._driver.cuCtxSetCurrent
        self._to_device = self._copier("cuMemcpyHtoDAsync_v2")
        self._from_device = self._copier("cuMemcpyDtoHAsync_v2")
        self._on_device = self._copier("cuMemcpyDtoDAsync_v2")
        self._query = self._driver.cuEventQuery
        self._query.argtypes = (ctypes.c_void_p,)
        self._owned: list[tuple[str, int]] = []
        if is_shared:
            weakref.finalize(self, _let_go, self._driver, context, self._owned).atexit = False

    def _copier(self, name: str) -> Callable[..., int]:
        function = self._driver[name]
        function.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
        return function

    def _call(self, name: str, *arguments: object) -> None:
        self._check(self._driver[name](*arguments), name)

    def _check(self, code: int, name: str) -> None:
        if code != _SUCCESS:
            text = ctypes.c_char_p()
            self._driver.cuGetErrorString(code, ctypes.byref(text))
            raise CudaError(f"{name} failed: {(text.value or b'unknown error').decode()} ({code})")

    def make_current(self) -> None:
        """Make the context this thread's; Triton may call from another one than at load."""
        self._check(self._set_current(self._context), "cuCtxSetCurrent")

    def shrink_stacks(self) -> None:
        """Have CUDA set less aside for the threads' stacks; a kernel that needs more is given what it needs, once.

        198 MiB less on an H200, where CUDA's own 1024 bytes a thread are 264. A driver that refuses keeps its own.
        """
        self._driver["cuCtxSetLimit"](_STACK_SIZE_LIMIT, ctypes.c_size_t(_STACK_BYTES))

    def allocate(self, size: int) -> int:
        """The address of `size` bytes of zeros on the GPU."""
        address = ctypes.c_uint64()
        self._call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size))
        self._owned.append(("cuMemFree_v2", int(address.value)))
        self._call("cuMemsetD8_v2", address, ctypes.c_ubyte(0), ctypes.c_size_t(size))
        return int(address.value)

    def pinned_array(self, size: int) -> npt.NDArray[np.uint8]:
        """`size` bytes of page-locked host memory, for the life of this object."""
        address = ctypes.c_void_p()
        self._call("cuMemHostAlloc", ctypes.byref(address), ctypes.c_size_t(size), _PORTABLE)
        self._owned.append(("cuMemFreeHost", int(address.value or 0)))
        memory = (ctypes.c_ubyte * size).from_address(int(address.value or 0))
        return np.frombuffer(memoryview(memory), np.uint8)

    def register(self, address: int, size: int) -> None:
        """Page-lock host memory that is there already, so that the GPU reads it without another copy."""
        self._call("cuMemHostRegister_v2", ctypes.c_void_p(address), ctypes.c_size_t(size), _PORTABLE)

    def unregister(self, address: int) -> None:
        """Undo `register`, before the memory goes."""
        self._call("cuMemHostUnregister", ctypes.c_void_p(address))

    def export(self, address: int) -> tuple[bytes, int]:
        """A handle by which another process opens the allocation that holds `address`, and its place therein."""
        base, size = ctypes.c_uint64(), ctypes.c_size_t()
        self._call("cuMemGetAddressRange_v2", ctypes.byref(base), ctypes.byref(size), ctypes.c_uint64(address))
        handle = (ctypes.c_char * 64)()
        self._call("cuIpcGetMemHandle", ctypes.byref(handle), base)
        return handle.raw, address - int(base.value)

    def new_stream(self) -> int:
        """Another stream, for work beside what runs on the first one."""
        stream = ctypes.c_void_p()
        self._call("cuStreamCreate", ctypes.byref(stream), _NON_BLOCKING)
        return int(stream.value or 0)

    def new_event(self) -> int:
        """An event, which counts as reached until it is set."""
        event = ctypes.c_void_p()
        self._call("cuEventCreate", ctypes.byref(event), _NO_TIMING)
        return int(event.value or 0)

    def set_event(self, event: int, stream: int) -> None:
        """Let the event be reached when the stream has done what it was given until now."""
        self._call("cuEventRecord", ctypes.c_void_p(event), ctypes.c_void_p(stream))

    def hold_until(self, event: int, stream: int) -> None:
        """Let the stream do nothing further before the event."""
        self._call("cuStreamWaitEvent", ctypes.c_void_p(stream), ctypes.c_void_p(event), ctypes.c_uint(0))

    def is_reached(self, event: int) -> bool:
        """Whether the event is reached, without waiting. Raises CudaError when what runs before it has failed."""
        code: int = self._query(event)
        if code != _NOT_READY:
            self._check(code, "cuEventQuery")
        return code == _SUCCESS

    def copy_to_device(self, target: int, source: int, size: int, stream: int = 0) -> None:
        """Host to GPU on the first stream, or another."""
        self._check(self._to_device(target, source, size, stream or self.stream), "cuMemcpyHtoDAsync")

    def copy_from_device(self, target: int, source: int, size: int) -> None:
        """GPU to host on the stream."""
        self._check(self._from_device(target, source, size, self._stream), "cuMemcpyDtoHAsync")

    def copy_on_device(self, target: int, source: int, size: int, stream: int = 0) -> None:
        """GPU to GPU on the first stream, or another."""
        self._check(self._on_device(target, source, size, stream or self.stream), "cuMemcpyDtoDAsync")

    def synchronize(self) -> None:
        """Wait until the stream has done everything."""
        self._check(self._synchronize(self._stream), "cuStreamSynchronize")

    def is_broken(self) -> bool:
        """Whether the context is of no use any more, as after an illegal access: whoever uses it is told that error.

        From any thread, which has the context then.
        """
        code: int = self._set_current(self._context) or self._driver["cuStreamQuery"](self._stream)
        return code not in (_SUCCESS, _NOT_READY)

    def used_bytes(self) -> int:
        """Memory in use on the GPU, by everybody."""
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self._call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        return int(total.value - free.value)


def _let_go(driver: ctypes.CDLL, context: ctypes.c_void_p, owned: list[tuple[str, int]]) -> None:
    driver.cuCtxSetCurrent(context)
    for function, handle in reversed(owned):
        driver[function](ctypes.c_void_p(handle))


@contextmanager
def refuse_on_error() -> Iterator[None]:
    """Turn a CudaError into RefusedModelError, for use at load."""
    try:
        yield
    except CudaError as exc:
        raise RefusedModelError(str(exc)) from exc
