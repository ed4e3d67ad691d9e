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
        self._staging = [cuda.pinned_array(size * rows) for size in self._input_row_bytes]
        self._staging_addresses = [array.__array_interface__["data"][0] for array in self._staging]
        self._fetched = [cuda.pinned_array(size * rows) for size in self._output_row_bytes]
        self._fetched_addresses = [array.__array_interface__["data"][0] for array in self._fetched]
        self._host_outputs = [
            array.view(io.dtype).reshape(io.shape(rows if model.max_batch_size else 0))
            for array, io in zip(self._fetched, model.outputs, strict=True)
        ]

    def load(self, parts: Sequence[Part]) -> list[int]:
        """Start copying the inputs of all parts to the GPU, one after the other; return the rows of each part.

        From Triton's shared memory and from CUDA memory there is one copy; other memory goes by the staging buffer.
        Raises ValueError for more rows than there is room for.
        """
        self._cuda.make_current()
        sizes = [part[0].shape[0] if self._model.max_batch_size else 1 for part in parts]
        if sum(sizes) > self._rows:
            raise ValueError(f"a batch of {sum(sizes)} is larger than the buffers, which hold {self._rows}")
        for index, row_bytes in enumerate(self._input_row_bytes):
            offset = 0
            for part, rows in zip(parts, sizes, strict=True):
                size = rows * row_bytes
                self._copy_in(part, index, offset, size)
                offset += size
        return sizes

    def _copy_in(self, part: Part, index: int, offset: int, size: int) -> None:
        target = self.input_addresses[index] + offset
        address, is_on_gpu = part[index].location()
        if is_on_gpu:
            self._copy_on_gpu(target, address, size)
            return
        if not self._pages.hold(address, size):
            self._staging[index][offset : offset + size] = part[index].array().reshape(-1).view(np.uint8)
            address = self._staging_addresses[index] + offset
        self._cuda.copy_to_device(target, address, size)

    def _copy_on_gpu(self, target: int, source: int, size: int) -> None:
        """Copy unless it is there already. Rows that move down within the buffer go in pieces that do not overlap."""
        distance = source - target
        step = distance if 0 < distance < size else max(size, 1)
        for done in range(0, size if distance else 0, step):
            self._cuda.copy_on_device(target + done, source + done, min(step, size - done))

    def shared_inputs(self) -> list[tuple[str, int]]:
        """For each input buffer a handle, in hex, that another process opens, and the buffer's place in what it opens.

        An empty handle where the GPU does not share (WSL 2, some virtual ones).
        """
        found = []
        for address in self.input_addresses:
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

    def fetch(self, sizes: Sequence[int], outputs: DeviceOutputs | None = None) -> list[Arrays]:
        """Wait for the outputs of each part: views of host memory that the next `fetch` overwrites.

        outputs: where they lie on the GPU, when not in this object's own buffers.
        """
        total = sum(sizes)
        addresses = self.output_addresses if outputs is None else outputs.addresses
        for index, row_bytes in enumerate(self._output_row_bytes):
            self._cuda.copy_from_device(self._fetched_addresses[index], addresses[index], total * row_bytes)
        self._cuda.synchronize()
        if not self._model.max_batch_size:
            return [list(self._host_outputs)]
        return split_outputs(self._host_outputs, sizes)


def _row_bytes(io: Io) -> int:
    return math.prod(io.dims) * io.dtype.itemsize
