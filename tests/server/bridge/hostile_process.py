"""A model process that has lost its mind: it answers each execution with bytes that mean nothing."""

from __future__ import annotations

import ctypes
import mmap
import os
import random
import socket
import struct
import sys
import threading
import time

HEAD, REQUEST, TENSOR, OUTPUTS, ROOM = 4096, 2048, 104, 8 + 8 * 104, 1 << 20
SLOTS = 2 if os.environ.get("PHOTOFINISH_LANES") == "2" else 1
SLOT_REQUESTS = 256
NUMBERS = (0, 1, 7, 8, 9, 255, 2**31, 2**32 - 1, 2**40, 2**62, 2**63, 2**64 - 1, ROOM, ROOM - 1, ROOM + 4096 * 200)


def main() -> None:
    os.closerange(5, 4096)
    bridge = socket.socket(fileno=4)
    (size,) = struct.unpack("I", bridge.recv(4))
    while size > 0:
        size -= len(bridge.recv(size))
    head = HEAD + 2 * SLOT_REQUESTS * REQUEST
    total = head + SLOTS * 2 * ROOM
    os.ftruncate(3, total)
    memory = mmap.mmap(3, total)
    lines = [f"memory\t{total}\t{head}\t{ROOM}\t1\t0", f"slots\t{SLOTS}\t{2 * ROOM}"]
    lines += ["input\tframes\t2", "output\tdetections\t11", "end", ""]
    bridge.sendall("\n".join(lines).encode())

    def end_with_bridge() -> None:
        bridge.recv(1)
        os._exit(0)

    threading.Thread(target=end_with_bridge, daemon=True).start()
    chance = random.Random(int(sys.argv[-1]) if sys.argv[-1].isdigit() else 1)
    address = ctypes.addressof(ctypes.c_ubyte.from_buffer(memory))
    asked, answered = (ctypes.c_uint32.from_address(address + at) for at in (0, 4))
    wake = ctypes.CDLL(None).syscall
    seen = 0
    while True:
        while asked.value == seen:
            time.sleep(0)
        seen = asked.value
        first = seen % SLOTS * SLOT_REQUESTS
        for index in range(first, first + 8):
            at = HEAD + index * REQUEST
            if chance.random() < 0.2:
                memory[at : at + REQUEST] = chance.randbytes(REQUEST)
            struct.pack_into("=I", memory, at, chance.choice((0, 0, 0, 0, 1)))
            output = at + OUTPUTS
            rows, place, dims = (
                chance.choice((1, 2, 3)),
                chance.choice((0, 0, 0, 1, 2, 99)),
                chance.choice((3, 3, 8, 9)),
            )
            fields = [place, dims, chance.choice((head, *NUMBERS)), chance.choice((rows * 24, *NUMBERS)), 0, 0]
            struct.pack_into("=IIQQQQ", memory, output, *fields)
            shape = [chance.choice((rows, 1, 6, *(number & 2**63 - 1 for number in NUMBERS), -1)) for _ in range(8)]
            struct.pack_into("=8q", memory, output + 40, *(shape if chance.random() < 0.7 else [rows, 1, 6, *[1] * 5]))
        if seen % 300 == 299:  # it ends when the requests of its execution are no longer what they were
            for index in range(first, first + 8):
                begin = HEAD + index * REQUEST
                memory[begin : begin + REQUEST] = chance.randbytes(REQUEST)
            os._exit(1)
        memory[16:64] = chance.randbytes(48)  # its counts and times
        if chance.random() < 0.1:
            memory[8:12] = struct.pack("=I", chance.choice(NUMBERS) & 2**32 - 1)
        answered.value = seen
        wake(202, ctypes.c_void_p(address + 4), 1, 1, None, None, 0)


if __name__ == "__main__":
    main()
