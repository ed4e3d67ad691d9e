"""The bytes of the lane: those of lane.h in server/bridge, which a test compares."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..model import ConfiguredModel, Io, RefusedModelError

MAX_SLOTS = 2
MAX_REQUESTS = 256
MAX_TENSORS = 8
MAX_DIMS = 8
ERROR_BYTES = 376
IN_LANE, IN_REGION, IN_BATCH = range(3)
VARIABLE_BYTES = 1 << 30
"""Room for the inputs, and for the outputs, of a model with variable dimensions; only pages that are used exist."""
_ALIGNMENT = 4096


class Tensor(ctypes.Structure):
    """lane.h: Tensor."""

    _fields_ = (
        ("place", ctypes.c_uint32),
        ("dims_count", ctypes.c_uint32),
        ("offset", ctypes.c_uint64),
        ("byte_size", ctypes.c_uint64),
        ("region", ctypes.c_uint64),
        ("inode", ctypes.c_uint64),
        ("dims", ctypes.c_int64 * MAX_DIMS),
    )


class Request(ctypes.Structure):
    """lane.h: Request."""

    _fields_ = (
        ("failed", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
        ("inputs", Tensor * MAX_TENSORS),
        ("outputs", Tensor * MAX_TENSORS),
        ("error", ctypes.c_char * ERROR_BYTES),
    )


class SlotHead(ctypes.Structure):
    """lane.h: Slot."""

    _fields_ = (
        ("request_count", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
        ("input_ns", ctypes.c_uint64),
        ("output_ns", ctypes.c_uint64),
    )


class LaneHead(ctypes.Structure):
    """lane.h: Lane."""

    _fields_ = (
        ("asked", ctypes.c_uint32),
        ("answered", ctypes.c_uint32),
        ("bridge_sleeps", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
        ("slots", SlotHead * MAX_SLOTS),
        ("unused", ctypes.c_uint8 * (4096 - 16 - MAX_SLOTS * ctypes.sizeof(SlotHead))),
        ("requests", Request * (MAX_SLOTS * MAX_REQUESTS)),
    )


@dataclass(frozen=True)
class LaneSizes:
    """Where the first slot's inputs and outputs lie behind the lane's head, in bytes.

    stride: how far behind them the next slot's lie.
    """

    staging_offset: int
    staging: int
    output_offset: int
    stride: int
    total: int


def lane_sizes(model: ConfiguredModel, slots: int = 1) -> LaneSizes:
    """Room for the largest batch of the model in each slot.

    Raises RefusedModelError for more tensors than the lane has.
    """
    if max(len(model.inputs), len(model.outputs)) > MAX_TENSORS:
        raise RefusedModelError(
            f"{model.name} has {len(model.inputs)} inputs and {len(model.outputs)} outputs; {MAX_TENSORS} are possible"
        )
    rows = max(model.max_batch_size, 1)

    def room(ios: Sequence[Io]) -> int:
        if not model.has_fixed_shapes:
            return VARIABLE_BYTES
        # Every request's tensor may begin at the next multiple of 256.
        return sum(math.prod(io.dims) * io.dtype.itemsize * rows + 256 * rows for io in ios)

    staging_offset = _aligned(ctypes.sizeof(LaneHead))
    staging = _aligned(room(model.inputs))
    outputs = _aligned(room(model.outputs))
    stride = staging + outputs
    return LaneSizes(staging_offset, staging, staging_offset + staging, stride, staging_offset + slots * stride)


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
