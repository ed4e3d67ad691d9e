"""The model process's end of the lane: memory shared with the bridge, where requests come and answers go."""

from __future__ import annotations

import ctypes
import math
import mmap
import os
import struct
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..batches import Array, Arrays, Part
from ..model import ConfiguredModel
from .layout import (
    ERROR_BYTES,
    IN_BATCH,
    IN_LANE,
    IN_REGION,
    MAX_DIMS,
    MAX_REQUESTS,
    LaneHead,
    Request,
    Tensor,
    lane_sizes,
)
from .regions import LOOK_S, Guard, Regions

LOOK_NS = 400_000
"""Where requests follow each other so closely, the next one is looked for: to wake from sleep takes tens of µs."""
CORES_TO_LOOK = int(os.environ.get("PHOTOFINISH_CORES_TO_LOOK", "4"))
"""With fewer cores the clients need them; the variable is for tests on small machines."""
FUTEX_WAIT, FUTEX_WAKE = 0, 1
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
_NUMBERS = 1 << 32
"""Executions are numbered in 32 bits."""


class _Timespec(ctypes.Structure):
    """Linux's timespec."""

    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


_LOOK = ctypes.pointer(_Timespec(int(LOOK_S), 0))


class LaneInput:
    """One input of one request, in the lane, in a client's region or in this process's own buffer on the GPU."""

    __slots__ = ("_address", "_array", "_dtype", "_is_on_gpu", "region_address", "shape")

    def __init__(
        self, address: int, dtype: np.dtype[Any], shape: tuple[int, ...], *, is_on_gpu: bool, region_address: int = 0
    ) -> None:
        """region_address: where the client's region that holds it begins; 0 when it lies in none."""
        self._address = address
        self._dtype = dtype
        self._is_on_gpu = is_on_gpu
        self._array: Array | None = None
        self.region_address = region_address
        self.shape = shape

    def array(self) -> Array:
        """The input as an array; it must be in host memory."""
        if self._array is None:
            count = math.prod(self.shape)
            if count == 0:
                return np.empty(self.shape, self._dtype)
            memory = (ctypes.c_ubyte * (count * self._dtype.itemsize)).from_address(self._address)
            self._array = np.frombuffer(memoryview(memory), self._dtype, count).reshape(self.shape)
        return self._array

    def location(self) -> tuple[int, bool]:
        """The address, and whether it is on a GPU."""
        return self._address, self._is_on_gpu


class LaneEnd:
    """Waits for the bridge's requests and answers them, in order; so many executions as it has slots may be unanswered.

    address: of the whole memory here. batch_addresses: for each slot those of the input buffers on the GPU that the
    bridge may write to, in the order of config.pbtxt; () without a GPU. on_unmap: told start and size of a region
    before it goes. guard: without it no client's region is read.
    """

    def __init__(
        self,
        memory_file: int,
        model: ConfiguredModel,
        *,
        slots: int = 1,
        batch_addresses: Sequence[Sequence[int]] = (),
        on_unmap: Callable[[int, int], None] = lambda start, size: None,
        guard: Guard | None = None,
    ) -> None:
        self.slots = slots
        self.sizes = lane_sizes(model, slots)
        os.ftruncate(memory_file, self.sizes.total)
        self._memory = mmap.mmap(memory_file, self.sizes.total)
        self.address = ctypes.addressof(ctypes.c_ubyte.from_buffer(self._memory))
        self._lane = LaneHead.from_address(self.address)
        self._output_room = self.sizes.stride - self.sizes.staging
        self._model = model
        self._batch_addresses = batch_addresses
        rows = max(model.max_batch_size, 1)
        self._batch_room = [math.prod(io.dims) * io.dtype.itemsize * rows for io in model.inputs]
        self.is_guarded = guard is not None
        self._regions = Regions(on_unmap, guard)
        self._taken: deque[list[Part | Exception]] = deque()
        self._inputs: dict[tuple[int, int, bytes], LaneInput] = {}
        self._syscall = ctypes.CDLL(None).syscall
        self._syscall.argtypes = (
            *(ctypes.c_long, ctypes.c_size_t, ctypes.c_long, ctypes.c_uint32),
            *(ctypes.POINTER(_Timespec), ctypes.c_void_p, ctypes.c_uint32),
        )
        self._seen = 0
        self._lost: set[int] = set()
        self._gap_ns = LOOK_NS
        self.may_look = len(os.sched_getaffinity(0)) >= CORES_TO_LOOK

    def wait(self) -> list[Part | Exception]:
        """The inputs of every request of the next execution, or why they cannot be had."""
        lane = self._lane
        begun_ns = time.perf_counter_ns()
        if self.may_look and self._gap_ns < LOOK_NS:
            until_ns = begun_ns + LOOK_NS
            while lane.asked == self._seen and time.perf_counter_ns() < until_ns:
                pass
        while lane.asked == self._seen:
            # An idle process lets go of what its clients have left, too.
            self._futex(0, FUTEX_WAIT, self._seen, _LOOK if self._regions.known else None)
            if lane.asked == self._seen:
                self._drop_regions()
        self._gap_ns = (self._gap_ns + time.perf_counter_ns() - begun_ns) // 2
        self._seen = (self._seen + 1) % _NUMBERS
        self._drop_regions()
        slot = self.latest_slot
        count = min(lane.slots[slot].request_count, MAX_REQUESTS)
        self._taken.append([self._request_inputs(slot, index) for index in range(count)])
        return self._taken[-1]

    @property
    def latest_slot(self) -> int:
        """Where the execution stands that was taken last."""
        return self._seen % self.slots

    def has_next(self) -> bool:
        """Whether another execution is there to be taken beside those that run.

        Not while regions are to be let go of: those that run may be reading them.
        """
        return self._lane.asked != self._seen and not (self._lost or self._regions.is_due())

    def answer(self, results: Sequence[Arrays | Exception], input_ns: int = 0, output_ns: int = 0) -> None:
        """The outputs of each request of the oldest execution, or the error that it gets; then the bridge is woken.

        input_ns, output_ns: what the copies to the GPU and back take of its time, for Triton's statistics.
        """
        used = 0
        parts = self._taken[0]
        number = (self._seen + 1 - len(self._taken)) % _NUMBERS
        slot = number % self.slots
        output_offset = self.sizes.output_offset + slot * self.sizes.stride
        # Kept until the regions are let go of: whoever runs beside this one may have read them, too.
        self._lost |= self._regions.lost()
        for index, result in enumerate(results):
            request = self._lane.requests[slot * MAX_REQUESTS + index]
            if self._lost and _reads(parts[index], self._lost):
                _refuse(request, f"{self._model.name}: the shared memory of this request was shrunk while it was read")
                continue
            if isinstance(result, Exception):
                _refuse(request, f"{self._model.name} failed on this request: {result}")
                continue
            at = _REQUESTS + (slot * MAX_REQUESTS + index) * _REQUEST_BYTES + _OUTPUTS
            for array in result:
                size = array.nbytes
                if used + size > self._output_room:
                    text = f"{self._model.name}: outputs of {size} bytes do not fit into the answer"
                    _refuse(request, text)
                    break
                offset = output_offset + used
                dims = array.shape
                _TENSOR_HEAD.pack_into(self._memory, at, IN_LANE, len(dims), offset, size, 0, 0)
                struct.pack_into(f"={len(dims)}q", self._memory, at + _TENSOR_HEAD.size, *dims)
                source = np.ascontiguousarray(array)
                ctypes.memmove(self.address + offset, source.__array_interface__["data"][0], size)
                at += _TENSOR_BYTES
                used += -(-size // 64) * 64
        self._taken.popleft()
        self._lane.slots[slot].input_ns, self._lane.slots[slot].output_ns = input_ns, output_ns
        self._lane.answered = number
        if self._lane.bridge_sleeps:
            self._futex(4, FUTEX_WAKE, 1)

    def _request_inputs(self, slot: int, index: int) -> Part | Exception:
        """A client sends from the same place again and again: an input that looks the same is made once."""
        at = _REQUESTS + (slot * MAX_REQUESTS + index) * _REQUEST_BYTES + _INPUTS
        found = []
        try:
            for number in range(len(self._model.inputs)):
                key = (slot, number, self._memory[at : at + _TENSOR_BYTES])
                if key not in self._inputs:
                    if len(self._inputs) >= _MAX_KEPT:
                        self._inputs.clear()
                    self._inputs[key] = self._input(slot, number, Tensor.from_buffer_copy(key[2]))
                found.append(self._inputs[key])
                at += _TENSOR_BYTES
        except (OSError, ValueError, OverflowError) as exc:
            return exc
        return found

    def _drop_regions(self) -> None:
        if self._taken:  # an execution may be reading them
            return
        is_gone = self._regions.drop_abandoned_at_times()
        if self._lost:
            self._lost.clear()
            is_gone = self._regions.drop_lost() or is_gone
        if is_gone:
            self._inputs.clear()

    def _input(self, slot: int, index: int, tensor: Tensor) -> LaneInput:
        """Where the tensor lies, if it lies where the lane can have it. Raises ValueError, or OSError of a region."""
        io = self._model.inputs[index]
        shape = tuple(tensor.dims[: tensor.dims_count])
        rows = shape[0] if self._model.max_batch_size and shape else 0
        wanted = io.shape(rows)
        is_fitting = len(shape) == len(wanted) and all(b in (-1, a) for a, b in zip(shape, wanted, strict=True))
        if tensor.dims_count > MAX_DIMS or not is_fitting or not 0 <= rows <= self._model.max_batch_size:
            raise ValueError(f"shape {shape} of input {io.name!r}")
        if min(shape, default=0) < 0 or math.prod(shape) * io.dtype.itemsize != tensor.byte_size:
            raise ValueError(f"{tensor.byte_size} bytes of input {io.name!r} for shape {shape}")
        region_address = 0
        if tensor.place == IN_REGION:
            region = self._regions.find(tensor.region, tensor.inode, tensor.offset, tensor.byte_size)
            address = region_address = region.address
        elif tensor.place == IN_BATCH and slot < len(self._batch_addresses):
            address, room = self._batch_addresses[slot][index], self._batch_room[index]
        elif tensor.place == IN_LANE:
            address, room = self.address, self.sizes.output_offset + slot * self.sizes.stride
        else:
            raise ValueError(f"input {io.name!r} lies nowhere")
        if not region_address and tensor.offset + tensor.byte_size > room:
            raise ValueError(f"input {io.name!r} lies outside of its memory")
        is_on_gpu = tensor.place == IN_BATCH
        return LaneInput(address + tensor.offset, io.dtype, shape, is_on_gpu=is_on_gpu, region_address=region_address)

    def _futex(self, offset: int, operation: int, value: int, limit: Any = None) -> None:
        self._syscall(_SYS_FUTEX, self.address + offset, operation, value, limit, None, 0)


def good_parts(parts: Sequence[Part | Exception]) -> list[Part]:
    """The requests of an execution that can be run."""
    return [part for part in parts if not isinstance(part, Exception)]


def beside_refused(
    parts: Sequence[Part | Exception], outcomes: Sequence[Arrays | Exception]
) -> Sequence[Arrays | Exception]:
    """An outcome for each request: those of the good ones, and why the others cannot be run."""
    if len(outcomes) == len(parts):
        return outcomes
    following = iter(outcomes)
    return [part if isinstance(part, Exception) else next(following) for part in parts]


def _reads(part: Part | Exception, regions: set[int]) -> bool:
    """Whether a request's input lies in one of these regions."""
    return not isinstance(part, Exception) and any(getattr(item, "region_address", 0) in regions for item in part)


def _refuse(request: Request, text: str) -> None:
    request.failed = 1
    request.error = text.encode()[: ERROR_BYTES - 1].decode(errors="ignore").encode()
