"""The model process's end of the lane: memory shared with the bridge, where requests come and answers go."""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..batches import Array, Arrays, Part
from ..model import ConfiguredModel
from .layout import ERROR_BYTES, IN_BATCH, IN_LANE, IN_REGION, LaneHead, Request, Tensor, lane_sizes
from .regions import Regions

LOOK_NS = 400_000
"""Where requests follow each other so closely, the next one is looked for: to wake from sleep takes tens of µs."""
CORES_TO_LOOK = int(os.environ.get("PHOTOFINISH_CORES_TO_LOOK", "4"))
"""With fewer cores the clients need them; the variable is for tests on small machines."""
_FUTEX_WAIT, _FUTEX_WAKE = 0, 1
_SYS_FUTEX = 202
"""Linux's number on x86-64, the only machine that the embedded server runs on."""
_TENSOR_HEAD = struct.Struct("=IIQQQQ")
"""A Tensor without its dims, which follow."""
_TENSOR_BYTES = ctypes.sizeof(Tensor)
_REQUEST_BYTES = ctypes.sizeof(Request)
_REQUESTS = LaneHead.requests.offset
_INPUTS = Request.inputs.offset
_OUTPUTS = Request.outputs.offset
_MAX_KEPT = 1024


class LaneInput:
    """One input of one request, in the lane, in a client's region or in this process's own buffer on the GPU."""

    __slots__ = ("_address", "_array", "_dtype", "_is_on_gpu", "shape")

    def __init__(self, address: int, dtype: np.dtype[Any], shape: tuple[int, ...], *, is_on_gpu: bool) -> None:
        self._address = address
        self._dtype = dtype
        self._is_on_gpu = is_on_gpu
        self._array: Array | None = None
        self.shape = shape

    def array(self) -> Array:
        """The input as an array; it must be in host memory."""
        if self._array is None:
            count = int(np.prod(self.shape))
            memory = (ctypes.c_ubyte * (count * self._dtype.itemsize)).from_address(self._address)
            self._array = np.frombuffer(memoryview(memory), self._dtype, count).reshape(self.shape)
        return self._array

    def location(self) -> tuple[int, bool]:
        """The address, and whether it is on a GPU."""
        return self._address, self._is_on_gpu


class LaneEnd:
    """Waits for the bridge's requests and answers them.

    address: of the whole memory here. batch_addresses: of the input buffers on the GPU, in the order of
    config.pbtxt; () without a GPU. on_unmap: told start and size of a region before it goes.
    """

    def __init__(
        self,
        memory_file: int,
        model: ConfiguredModel,
        *,
        batch_addresses: Sequence[int] = (),
        on_unmap: Callable[[int, int], None] = lambda start, size: None,
    ) -> None:
        self.sizes = lane_sizes(model)
        os.ftruncate(memory_file, self.sizes.total)
        self._memory = mmap.mmap(memory_file, self.sizes.total)
        self.address = ctypes.addressof(ctypes.c_ubyte.from_buffer(self._memory))
        self._lane = LaneHead.from_address(self.address)
        self._output_room = self.sizes.total - self.sizes.output_offset
        self._model = model
        self._batch_addresses = batch_addresses
        self._regions = Regions(on_unmap)
        self._inputs: dict[tuple[int, bytes], LaneInput] = {}
        self._syscall = ctypes.CDLL(None).syscall
        self._syscall.argtypes = (
            *(ctypes.c_long, ctypes.c_size_t, ctypes.c_long, ctypes.c_uint32),
            *(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint32),
        )
        self._seen = 0
        self._gap_ns = LOOK_NS
        self._may_look = len(os.sched_getaffinity(0)) >= CORES_TO_LOOK

    def wait(self) -> list[Part | Exception]:
        """The inputs of every request of the next execution, or why they cannot be had."""
        lane = self._lane
        begun_ns = time.perf_counter_ns()
        if self._may_look and self._gap_ns < LOOK_NS:
            until_ns = begun_ns + LOOK_NS
            while lane.asked == self._seen and time.perf_counter_ns() < until_ns:
                pass
        while lane.asked == self._seen:
            self._futex(0, _FUTEX_WAIT, self._seen)
        self._gap_ns = (self._gap_ns + time.perf_counter_ns() - begun_ns) // 2
        self._seen = lane.asked
        if self._regions.drop_abandoned_at_times():
            self._inputs.clear()
        return [self._request_inputs(index) for index in range(lane.request_count)]

    def report_copies(self, input_ns: int, output_ns: int) -> None:
        """How long the copies to the GPU and back take of late, for Triton's statistics."""
        self._lane.input_ns, self._lane.output_ns = input_ns, output_ns

    def answer(self, results: Sequence[Arrays | Exception]) -> None:
        """The outputs of each request, or the error that it gets; then the bridge is woken."""
        used = 0
        for index, result in enumerate(results):
            if isinstance(result, Exception):
                _refuse(self._lane.requests[index], f"{self._model.name} failed on this request: {result}")
                continue
            at = _REQUESTS + index * _REQUEST_BYTES + _OUTPUTS
            for array in result:
                size = array.nbytes
                if used + size > self._output_room:
                    text = f"{self._model.name}: outputs of {size} bytes do not fit into the answer"
                    _refuse(self._lane.requests[index], text)
                    break
                offset = self.sizes.output_offset + used
                dims = array.shape
                _TENSOR_HEAD.pack_into(self._memory, at, IN_LANE, len(dims), offset, size, 0, 0)
                struct.pack_into(f"={len(dims)}q", self._memory, at + _TENSOR_HEAD.size, *dims)
                source = np.ascontiguousarray(array)
                ctypes.memmove(self.address + offset, source.__array_interface__["data"][0], size)
                at += _TENSOR_BYTES
                used += -(-size // 64) * 64
        self._lane.answered = self._seen
        if self._lane.bridge_sleeps:
            self._futex(4, _FUTEX_WAKE, 1)

    def _request_inputs(self, index: int) -> Part | Exception:
        """A client sends from the same place again and again: an input that looks the same is made once."""
        at = _REQUESTS + index * _REQUEST_BYTES + _INPUTS
        found = []
        try:
            for number in range(len(self._model.inputs)):
                key = (number, self._memory[at : at + _TENSOR_BYTES])
                if key not in self._inputs:
                    if len(self._inputs) >= _MAX_KEPT:
                        self._inputs.clear()
                    self._inputs[key] = self._input(number, Tensor.from_buffer_copy(key[1]))
                found.append(self._inputs[key])
                at += _TENSOR_BYTES
        except OSError as exc:
            return exc
        return found

    def _input(self, index: int, tensor: Tensor) -> LaneInput:
        if tensor.place == IN_BATCH:
            address = self._batch_addresses[index]
        elif tensor.place == IN_REGION:
            address = self._regions.address(tensor.region, tensor.inode)
        else:
            address = self.address
        shape = tuple(tensor.dims[: tensor.dims_count])
        dtype = self._model.inputs[index].dtype
        return LaneInput(address + tensor.offset, dtype, shape, is_on_gpu=tensor.place == IN_BATCH)

    def _futex(self, offset: int, operation: int, value: int) -> None:
        self._syscall(_SYS_FUTEX, self.address + offset, operation, value, None, None, 0)


def _refuse(request: Request, text: str) -> None:
    request.failed = 1
    request.error = text.encode()[: ERROR_BYTES - 1].decode(errors="ignore").encode()
