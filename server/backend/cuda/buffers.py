"""The fixed buffers of one instance on a GPU: requests are gathered into them and outputs scattered out of them."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..batches import Arrays, Part, split_outputs
from ..model import ConfiguredModel, Io
from .driver import Cuda, CudaError
from .pages import SharedPages


class DeviceOutputs(NamedTuple):
    """Outputs that lie elsewhere on the GPU than in a DeviceBatch. owner: whatever keeps that memory theirs."""

    addresses: Sequence[int]
    owner: Any


class SlotBuffers:
    """What one execution needs beside the buffers that all share: page-locked host memory, and where the bridge writes.

    inputs: addresses on the GPU; the shared buffers themselves where there is one slot. copied, done: events; 0 there.
    """

    def __init__(self, cuda: Cuda, model: ConfiguredModel, rows: int, inputs: list[int]) -> None:
        self.inputs = inputs
        self.copied = self.done = 0
        self.staging = [cuda.pinned_array(_row_bytes(io) * rows) for io in model.inputs]
        self.staging_addresses = [array.__array_interface__["data"][0] for array in self.staging]
        fetched = [cuda.pinned_array(_row_bytes(io) * rows) for io in model.outputs]
        self.fetched_addresses = [array.__array_interface__["data"][0] for array in fetched]
        self.host_outputs = [
            array.view(io.dtype).reshape(io.shape(rows if model.max_batch_size else 0))
            for array, io in zip(fetched, model.outputs, strict=True)
        ]


class DeviceBatch:
    """Room for the largest batch: inputs and outputs on the GPU, and page-locked host memory for both.

    Addresses never change, which CUDA graphs need. Only for models without variable dimensions.
    """

    def __init__(self, cuda: Cuda, model: ConfiguredModel) -> None:
        rows = max(model.max_batch_size, 1)
        self._rows = rows
        self._cuda = cuda
        self._model = model
        self._pages = SharedPages(cuda)
        self._input_row_bytes = [_row_bytes(io) for io in model.inputs]
        self._output_row_bytes = [_row_bytes(io) for io in model.outputs]
        self.input_addresses = [cuda.allocate(size * rows) for size in self._input_row_bytes]
        self.output_addresses = [cuda.allocate(size * rows) for size in self._output_row_bytes]
        self._slots = [SlotBuffers(cuda, model, rows, self.input_addresses)]
        self._second_stream = 0

    def prepare_slots(self, count: int) -> None:
        """Make room for so many executions, of which one runs while the next one is copied; more memory from 2 on."""
        if count == 1:
            return
        self._second_stream = self._cuda.new_stream()
        self._slots += [SlotBuffers(self._cuda, self._model, self._rows, []) for _ in range(count - len(self._slots))]
        for slot in self._slots:
            # Of its own: what the execution that runs reads must stay as it is.
            slot.inputs = [self._cuda.allocate(size * self._rows) for size in self._input_row_bytes]
            slot.copied, slot.done = self._cuda.new_event(), self._cuda.new_event()

    def load(self, parts: Sequence[Part], slot: int = 0) -> list[int]:
        """Start copying the inputs of all parts to the GPU, one after the other; return the rows of each part.

        From Triton's shared memory and from CUDA memory there is one copy; other memory goes by the staging buffer.
        Raises ValueError for more rows than there is room for.
        """
        return self._gather(parts, self._slots[slot], self.input_addresses, 0)

    def load_ahead(self, parts: Sequence[Part], slot: int) -> list[int]:
        """The same while another batch runs: copied beside it, and put in its place when it is done."""
        own = self._slots[slot]
        sizes = self._gather(parts, own, own.inputs, self._second_stream)
        self._cuda.set_event(own.copied, self._second_stream)
        self._cuda.hold_until(own.copied, self._cuda.stream)
        for target, source, row_bytes in zip(self.input_addresses, own.inputs, self._input_row_bytes, strict=True):
            self._cuda.copy_on_device(target, source, sum(sizes) * row_bytes)
        return sizes

    def _gather(self, parts: Sequence[Part], slot: SlotBuffers, targets: Sequence[int], stream: int) -> list[int]:
        self._cuda.make_current()
        sizes = [part[0].shape[0] if self._model.max_batch_size else 1 for part in parts]
        if sum(sizes) > self._rows:
            raise ValueError(f"a batch of {sum(sizes)} is larger than the buffers, which hold {self._rows}")
        for index, row_bytes in enumerate(self._input_row_bytes):
            offset = 0
            for part, rows in zip(parts, sizes, strict=True):
                size = rows * row_bytes
                address, is_on_gpu = part[index].location()
                if is_on_gpu:
                    self._copy_on_gpu(targets[index] + offset, address, size, stream)
                else:
                    if not self._pages.hold(address, size):
                        staging = slot.staging[index][offset : offset + size]
                        staging[:] = part[index].array().reshape(-1).view(np.uint8)
                        address = slot.staging_addresses[index] + offset
                    self._cuda.copy_to_device(targets[index] + offset, address, size, stream)
                offset += size
        return sizes

    def _copy_on_gpu(self, target: int, source: int, size: int, stream: int) -> None:
        """Copy unless it is there already. Rows that move down within the buffer go in pieces that do not overlap."""
        distance = source - target
        step = distance if 0 < distance < size else max(size, 1)
        for done in range(0, size if distance else 0, step):
            self._cuda.copy_on_device(target + done, source + done, min(step, size - done), stream)

    def slot_addresses(self) -> list[list[int]]:
        """For each slot the addresses that the bridge may write its pictures to."""
        return [slot.inputs for slot in self._slots]

    def shared_inputs(self, slot: int = 0) -> list[tuple[str, int]]:
        """For each input of a slot a handle, in hex, that another process opens, and the place in what it opens.

        An empty handle where the GPU does not share (WSL 2, some virtual ones).
        """
        found = []
        for address in self._slots[slot].inputs:
            try:
                handle, offset = self._cuda.export(address)
            except CudaError as exc:
                sys.stderr.write(f"photofinish: {self._model.name}: the GPU's memory cannot be shared: {exc}\n")
                handle, offset = b"", 0
            found.append((handle.hex(), offset))
        return found

    def lock_pages(self, start: int, size: int) -> None:
        """Page-lock memory that requests will come in, before the first of them has to wait for it."""
        self._pages.hold(start, size)

    def forget_pages(self, start: int, size: int) -> None:
        """Host memory that is about to be unmapped."""
        self._pages.forget(start, size)

    def fetch(self, sizes: Sequence[int], outputs: DeviceOutputs | None = None, slot: int = 0) -> list[Arrays]:
        """Wait for the outputs of each part: views of host memory that the slot's next `fetch` overwrites.

        outputs: where they lie on the GPU, when not in this object's own buffers.
        """
        self._copy_out(sizes, outputs, slot)
        self._cuda.synchronize()
        return self.fetched(sizes, slot)

    def fetch_later(self, sizes: Sequence[int], outputs: DeviceOutputs | None, slot: int) -> None:
        """Start the same; `is_fetched` says when `fetched` has them."""
        self._copy_out(sizes, outputs, slot)
        self._cuda.set_event(self._slots[slot].done, self._cuda.stream)

    def is_fetched(self, slot: int) -> bool:
        """Whether the outputs of the slot are there. Raises CudaError when its execution failed."""
        return self._cuda.is_reached(self._slots[slot].done)

    def fetched(self, sizes: Sequence[int], slot: int) -> list[Arrays]:
        """The outputs of each part, once they are there."""
        outputs = self._slots[slot].host_outputs
        return split_outputs(outputs, sizes) if self._model.max_batch_size else [list(outputs)]

    def _copy_out(self, sizes: Sequence[int], outputs: DeviceOutputs | None, slot: int) -> None:
        addresses = self.output_addresses if outputs is None else outputs.addresses
        targets = self._slots[slot].fetched_addresses
        for target, source, row_bytes in zip(targets, addresses, self._output_row_bytes, strict=True):
            self._cuda.copy_from_device(target, source, sum(sizes) * row_bytes)


def _row_bytes(io: Io) -> int:
    return math.prod(io.dims) * io.dtype.itemsize
