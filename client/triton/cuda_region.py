"""GPU memory that the server has opened too: a picture crosses the bus once, before the request is sent."""

from __future__ import annotations

import ctypes
import importlib
import mmap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from photofinish.client.triton.regions import TransportError, region_name, unregister_when_idle

HANDLE_BYTES = 64
"""CUDA_IPC_HANDLE_SIZE of the CUDA runtime."""


def load_runtime() -> Any:
    """The CUDA runtime's Python bindings. Raises TransportError when they or a GPU are missing."""
    try:
        runtime = importlib.import_module("cuda.bindings.runtime")
    except ImportError as exc:
        raise TransportError("CUDA shared memory needs cuda-bindings: pip install cuda-python") from exc
    (count,) = check(runtime, "cudaGetDeviceCount")
    if count == 0:
        raise TransportError("CUDA shared memory needs a GPU, found none")
    return runtime


def check(runtime: Any, function: str, *args: Any) -> tuple[Any, ...]:
    """The results of a runtime call. Raises TransportError with CUDA's own words when it failed."""
    error, *results = getattr(runtime, function)(*args)
    if int(error) != 0:
        words = runtime.cudaGetErrorString(error)[1]
        reason = words.decode() if isinstance(words, bytes) else str(words)
        raise TransportError(f"CUDA shared memory cannot be used: {function}: {reason}")
    return tuple(results)


@dataclass(frozen=True, slots=True)
class SharedGpu:
    """A GPU that client and server share: its number here, and at the server, which may see others than we do."""

    here: int
    at_server: int


def gpu_shared_with(gpus: Sequence[int], here: int | None = None) -> SharedGpu:
    """Where memory for a model lies. gpus: those with its instances, by the server's count; () where that is not told.

    here: the GPU by our count, None for whichever serves. A server that sees one GPU calls it 0, whatever we call it.
    """
    if here is None:
        first = gpus[0] if gpus else 0
        return SharedGpu(here=first, at_server=first)
    return SharedGpu(here=here, at_server=here if here in gpus or not gpus else gpus[0])


def words_on_several(name: str, gpus: Sequence[int]) -> str:
    """What it costs that a server's instances on other GPUs read memory of the first; "" for one GPU or none."""
    if len(gpus) < 2:
        return ""
    return (
        f"{name} runs on {len(gpus)} GPUs, and the pictures lie on GPU {gpus[0]}: the others read them across, so that "
        "four H200 gave 3.64 times the pictures of one in batches of 8, and 1.99 times one by one. "
        "A server for each GPU reads its own: --gpus all for cameras, else CUDA_VISIBLE_DEVICES=1 photofinish serve"
    )


_NAME_PREFIX = "cuda/"


@dataclass(frozen=True, slots=True, kw_only=True)
class CudaRegionName:
    """How another process of this machine finds a region: its GPU, CUDA's handle of the memory, and its size."""

    device_id: int
    handle: bytes
    byte_size: int
    name: str

    def __str__(self) -> str:
        """The text that `cuda_region_from_text` reads."""
        return f"{_NAME_PREFIX}{self.device_id}/{self.byte_size}/{self.name}/{self.handle.hex()}"


def is_cuda_region(text: str) -> bool:
    """Whether a region's text names memory of a GPU."""
    return text.startswith(_NAME_PREFIX)


def cuda_region_from_text(text: str) -> CudaRegionName:
    """The region that the text names. Raises ValueError."""
    words = text.removeprefix(_NAME_PREFIX).split("/")
    if not is_cuda_region(text) or len(words) != 4:
        raise ValueError(f"a GPU's region is {_NAME_PREFIX}device/size/name/handle, got {text[:40]!r}")
    return CudaRegionName(
        device_id=int(words[0]), byte_size=int(words[1]), name=words[2], handle=bytes.fromhex(words[3])
    )


class CudaRegion:
    """A page-locked `array` that callers write, and its copy on the GPU that requests name.

    The server must run on the same machine and see the same GPU; both count GPUs alike unless
    CUDA_VISIBLE_DEVICES differs. on_device: by this text a process of the same user writes rows on the GPU itself.
    """

    direct = ""

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: npt.DTypeLike,
        *,
        register: Callable[[str, bytes, int, int], None],
        unregister: Callable[[str], None],
        device_id: int = 0,
        server_device_id: int | None = None,
        runtime: Any = None,
    ) -> None:
        """Allocate and register: register(name, raw handle, device, byte_size) and unregister(name) ask the server.

        device_id: the GPU as this process counts; server_device_id: as the server does, None for alike.
        Raises TransportError when this machine cannot, InferenceError when the server refuses.
        """
        self.name = region_name()
        self._unregister = unregister
        self._device_id = device_id
        self._runtime = runtime = runtime or load_runtime()
        byte_size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        # Own pages instead of cudaHostAlloc: they stay valid for views that outlive close().
        self.array: npt.NDArray[Any] = np.frombuffer(mmap.mmap(-1, byte_size), dtype=dtype).reshape(shape)
        self._undo: list[Callable[[], object]] = []
        try:
            check(runtime, "cudaSetDevice", device_id)
            self._call_with_undo("cudaHostRegister", self.array.ctypes.data, byte_size, 0, undo="cudaHostUnregister")
            self._device_pointer = self._call_with_undo("cudaMalloc", byte_size, undo="cudaFree")
            self._stream = self._call_with_undo("cudaStreamCreate", undo="cudaStreamDestroy")
            (handle,) = check(runtime, "cudaIpcGetMemHandle", self._device_pointer)
            raw_handle = ctypes.string_at(handle.getPtr(), HANDLE_BYTES)
            self.on_device = str(
                CudaRegionName(device_id=device_id, handle=raw_handle, byte_size=byte_size, name=self.name)
            )
            register(self.name, raw_handle, device_id if server_device_id is None else server_device_id, byte_size)
        except BaseException:
            self._free()
            raise

    def deliver(self, byte_size: int, without: Iterable[int] = ()) -> None:
        """Copy the pictures to the GPU and wait until they are there, but for rows that were written there already."""
        runtime = self._runtime
        check(runtime, "cudaSetDevice", self._device_id)
        to_device = runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
        source, row_bytes = self.array.ctypes.data, self.array[:1].nbytes
        begin = 0
        for row in (*sorted(set(without)), None):
            end = byte_size if row is None else min(row * row_bytes, byte_size)
            if end > begin:
                place = int(self._device_pointer) + begin
                check(runtime, "cudaMemcpyAsync", place, source + begin, end - begin, to_device, self._stream)
            begin = end if row is None else end + row_bytes
        check(runtime, "cudaStreamSynchronize", self._stream)

    def move_on_device(self, target: int, source: int) -> None:
        """Copy a row that was written on the GPU to another row's place there."""
        runtime, row_bytes = self._runtime, self.array[:1].nbytes
        check(runtime, "cudaSetDevice", self._device_id)
        begin = int(self._device_pointer)
        on_device = runtime.cudaMemcpyKind.cudaMemcpyDeviceToDevice
        places = (begin + target * row_bytes, begin + source * row_bytes)
        check(runtime, "cudaMemcpyAsync", *places, row_bytes, on_device, self._stream)
        check(runtime, "cudaStreamSynchronize", self._stream)

    def close(self) -> None:
        """Make the server let go, then free; a server that is gone already has let go.

        Memory that the server still reads is left to the end of this process: freeing it is undefined for CUDA.
        """
        if unregister_when_idle(self._unregister, self.name):
            self._free()

    def _call_with_undo(self, function: str, *args: Any, undo: str) -> Any:
        """The single result of a call (or its first argument), which `undo` will give back."""
        results = check(self._runtime, function, *args)
        resource = results[0] if results else args[0]
        self._undo.append(lambda: getattr(self._runtime, undo)(resource))
        return resource

    def _free(self) -> None:
        self._runtime.cudaSetDevice(self._device_id)
        while self._undo:
            self._undo.pop()()
