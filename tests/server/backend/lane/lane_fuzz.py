"""Random bytes in the lane, read by a model process's end of it, in a process of its own.

Usage: python -m tests.server.backend.lane.lane_fuzz SEED COUNT. Prints how many tensors were read and how many refused;
reading outside of the lane ends the process.
"""

from __future__ import annotations

import ctypes
import faulthandler
import math
import mmap
import os
import random
import struct
import sys
from pathlib import Path

import numpy as np

from photofinish.server.backend.lane.end import LaneEnd
from photofinish.server.backend.lane.layout import MAX_REQUESTS, LaneHead, Request, Tensor
from photofinish.server.backend.model import ConfiguredModel, Io

SIDE = 16
NUMBERS = (0, 1, 2, 8, 9, SIDE, 4096, 2**31, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1)


def model() -> ConfiguredModel:
    return ConfiguredModel(
        name="toy",
        folder=Path(),
        file_name="model.onnx",
        inputs=(Io("frames", np.dtype(np.uint8), (SIDE, SIDE, 3)),),
        outputs=(Io("rows", np.dtype(np.float32), (4,)),),
        max_batch_size=8,
        device="cpu",
        device_id=0,
        instance_count=1,
    )


def tensor_bytes(chance: random.Random, end: LaneEnd, slot: int) -> bytes:
    """A tensor that is right but for some of its fields."""
    rows = chance.randrange(1, 9)
    size = rows * SIDE * SIDE * 3
    room = end.sizes.staging - size
    offset = end.sizes.staging_offset + slot * end.sizes.stride + chance.randrange(room)
    fields = [0, 4, offset, size, 0, 0, rows, SIDE, SIDE, 3, 0, 0, 0, 0]
    for _ in range(chance.randrange(3)):
        at = chance.randrange(10)
        value = chance.choice(NUMBERS) if chance.random() < 0.7 else fields[at] + chance.randrange(-3, 4)
        fields[at] = value % 2**32 if at < 2 else value % 2**64 - (2**64 if at > 5 and value % 2**64 >= 2**63 else 0)
    fields[2:6] = [value % 2**64 for value in fields[2:6]]
    return struct.pack("=IIQQQQ8q", *(value % 2**32 for value in fields[:2]), *fields[2:])


def main(seed: int, count: int) -> None:
    faulthandler.enable()
    chance = random.Random(seed)
    file = os.memfd_create("lane")
    end = LaneEnd(file, model(), slots=2)
    memory = mmap.mmap(file, end.sizes.total)
    head = LaneHead.from_buffer(memory)
    read = refused = 0
    while read + refused < count:
        used = chance.randrange(1, 5)
        slot = (head.asked + 1) % 2
        for index in range(used):
            number = slot * MAX_REQUESTS + index
            at = LaneHead.requests.offset + number * ctypes.sizeof(Request) + Request.inputs.offset
            is_random = chance.random() < 0.1
            size = ctypes.sizeof(Tensor)
            memory[at : at + size] = chance.randbytes(size) if is_random else tensor_bytes(chance, end, slot)
        head.slots[slot].request_count = (
            used if chance.random() < 0.95 else chance.choice((0, 255, 256, 257, 2**32 - 1))
        )
        head.asked += 1
        parts = end.wait()
        for part in parts[:used]:
            if isinstance(part, Exception):
                refused += 1
                continue
            read += 1
            array = part[0].array()
            assert array.shape[0] <= 8
            assert array.size == math.prod(part[0].shape)
            array.sum()  # a byte outside of the lane ends the process here
        end.answer([ValueError("answered") for _ in parts])
    print(f"read {read}, refused {refused}")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
