"""The calls of CUDA's driver that letterboxing pictures on a GPU needs, by ctypes: no CUDA toolkit, no torch."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from photofinish.client.cameras.decode.gpu.device import DeviceLostError
from photofinish.client.cameras.decode.nv12.job import LetterboxJob
from photofinish.errors import SourceError

NON_BLOCKING = 1
LAZY_PEER_ACCESS = 1
ON_DEVICE = 2
"""CU_MEMORYTYPE_DEVICE."""
BLOCKING_SYNC = 4
"""CU_CTX_SCHED_BLOCKING_SYNC: dozens of threads wait for the GPU, and none of them may keep a core busy with that."""
STACK_SIZE_LIMIT = 0
STACK_BYTES = 256
"""Of each GPU thread. CUDA sets 1024 aside, 198 MiB more on an H200, and gives a kernel that needs more its need."""
KERNEL = "letterbox_nv12"
BLOCK = (32, 8)
HANDLE_BYTES = 64
LOST = frozenset({214, 700, 702, 709, *range(714, 720), 999})
"""CUDA's errors after which a process gets the same one for every call, until it is started again."""


class CopyPlane(ctypes.Structure):
    """CUDA_MEMCPY2D."""

    _fields_ = (
        ("source_x", ctypes.c_size_t),
        ("source_y", ctypes.c_size_t),
        ("source_type", ctypes.c_int),
        ("source_host", ctypes.c_void_p),
        ("source_device", ctypes.c_uint64),
        ("source_array", ctypes.c_void_p),
        ("source_pitch", ctypes.c_size_t),
        ("target_x", ctypes.c_size_t),
        ("target_y", ctypes.c_size_t),
        ("target_type", ctypes.c_int),
        ("target_host", ctypes.c_void_p),
        ("target_device", ctypes.c_uint64),
        ("target_array", ctypes.c_void_p),
        ("target_pitch", ctypes.c_size_t),
        ("width_bytes", ctypes.c_size_t),
        ("height", ctypes.c_size_t),
    )


class IpcHandle(ctypes.Structure):
    """CUipcMemHandle, which is handed over by value."""

    _fields_ = (("reserved", ctypes.c_char * HANDLE_BYTES),)


class Driver:
    """One GPU's primary context, which PyNvVideoCodec's decoders share, and the kernel in it.

    Every call but `make_current` wants the context current in its thread.
    """

    def __init__(self, device_id: int, ptx: str, library: Any = None) -> None:
        """Raise SourceError when there is no driver, no such GPU, or the driver refuses the kernel."""
        try:
            self._library = library if library is not None else ctypes.CDLL("libcuda.so.1")
        except OSError as exc:
            raise SourceError(f"no CUDA driver found ({exc}); run `photofinish doctor`") from exc
        self.call("cuInit", 0)
        device, context, module, function = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
        self.call("cuDeviceGet", ctypes.byref(device), device_id)
        name = ctypes.create_string_buffer(256)
        self.call("cuDeviceGetName", name, len(name), device)
        self.name = name.value.decode()
        # A driver that refuses one of these two wishes decodes all the same.
        self._library.cuDevicePrimaryCtxSetFlags_v2(device, BLOCKING_SYNC)
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self.context = int(context.value or 0)
        self.make_current()
        self._library.cuCtxSetLimit(STACK_SIZE_LIMIT, ctypes.c_size_t(STACK_BYTES))
        self.call("cuModuleLoadData", ctypes.byref(module), ctypes.c_char_p(ptx.encode()))
        self.call("cuModuleGetFunction", ctypes.byref(function), module, KERNEL.encode())
        self._function = function

    def call(self, name: str, *arguments: Any) -> None:
        """Raise SourceError with CUDA's own words when the call fails, DeviceLostError when all others will."""
        call: Callable[..., int] = getattr(self._library, name)
        code = call(*arguments)
        if code != 0:
            words = ctypes.c_char_p()
            self._library.cuGetErrorString(code, ctypes.byref(words))
            message = f"the GPU failed: {name}: {(words.value or b'unknown error').decode()} ({code})"
            raise DeviceLostError(message) if code in LOST else SourceError(message)

    def make_current(self) -> None:
        """Make the context the calling thread's."""
        self.call("cuCtxSetCurrent", ctypes.c_void_p(self.context))

    def stream(self) -> int:
        """A new stream."""
        stream = ctypes.c_void_p()
        self.call("cuStreamCreate", ctypes.byref(stream), NON_BLOCKING)
        return int(stream.value or 0)

    def allocate(self, size: int) -> int:
        """The address of `size` bytes on the GPU."""
        address = ctypes.c_uint64()
        self.call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size))
        return int(address.value)

    def free(self, address: int) -> None:
        """Give them back."""
        self.call("cuMemFree_v2", ctypes.c_uint64(address))

    def open_shared(self, handle: bytes) -> int:
        """The address here of another process's memory."""
        address, raw = ctypes.c_uint64(), IpcHandle()
        ctypes.memmove(ctypes.byref(raw), handle.ljust(HANDLE_BYTES, b"\0"), HANDLE_BYTES)
        self.call("cuIpcOpenMemHandle_v2", ctypes.byref(address), raw, LAZY_PEER_ACCESS)
        return int(address.value)

    def close_shared(self, address: int) -> None:
        """Let go of it."""
        self.call("cuIpcCloseMemHandle", ctypes.c_uint64(address))

    def copy_plane(self, plane: CopyPlane, stream: int) -> None:
        """Start copying on the GPU."""
        self.call("cuMemcpy2DAsync_v2", ctypes.byref(plane), ctypes.c_void_p(stream))

    def put(self, target: int, source: int, size: int) -> None:
        """Copy from the host, and wait."""
        self.call("cuMemcpyHtoD_v2", ctypes.c_uint64(target), ctypes.c_void_p(source), ctypes.c_size_t(size))

    def fetch(self, target: int, source: int, size: int, stream: int) -> None:
        """Start copying to the host."""
        self.call(
            "cuMemcpyDtoHAsync_v2",
            ctypes.c_void_p(target),
            ctypes.c_uint64(source),
            ctypes.c_size_t(size),
            ctypes.c_void_p(stream),
        )

    def letterbox(self, job: LetterboxJob, stream: int) -> None:
        """Start the kernel."""
        arguments = (ctypes.c_void_p * 1)(ctypes.addressof(job))
        grid = (-(-job.target_width // BLOCK[0]), -(-job.target_height // BLOCK[1]))
        self.call(
            "cuLaunchKernel",
            self._function,
            *(ctypes.c_uint(value) for value in (*grid, 1, *BLOCK, 1, 0)),
            ctypes.c_void_p(stream),
            arguments,
            None,
        )

    def finish(self, stream: int) -> None:
        """Wait until the stream has done everything."""
        self.call("cuStreamSynchronize", ctypes.c_void_p(stream))
