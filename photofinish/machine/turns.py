"""The child's side of a process that measures when it is its turn: frames by file, orders and answers as JSON lines.

A program that stands beside ours in a comparison runs in a process of its own, because libraries change what a process
does: Ultralytics switches OpenCV's threads off, a CUDA context takes turns with the server's. The parent's side is
`perf/rivals/process.py`.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.float32]
"""Boxes of one frame: (n, 6) float32, x1 y1 x2 y2 confidence class, in the frame's own pixels."""
Process = Callable[[npt.NDArray[np.uint8]], Rows]
"""From one frame, (height, width, 3) uint8 BGR, to its boxes: all that a user's own loop would do for it."""

MMAP_THRESHOLD_BYTES = 64 << 20
TRIM_THRESHOLD_BYTES = 256 << 20
RETURNED_BYTES = 128 << 10
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


def keep_freed_memory() -> bool:
    """Make this process keep the memory it frees, until it ends; False where its C library cannot."""
    return _set_malloc_thresholds(MMAP_THRESHOLD_BYTES, TRIM_THRESHOLD_BYTES)


def give_freed_memory_back() -> bool:
    """Make this process return what it frees to the system; False where its C library cannot.

    glibc raises its thresholds by itself as large blocks are freed, and then keeps what piled up once.
    """
    return _set_malloc_thresholds(RETURNED_BYTES, RETURNED_BYTES)


def _set_malloc_thresholds(mmap_bytes: int, trim_bytes: int) -> bool:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(
        mallopt(name, value) == 1 for name, value in ((_M_MMAP_THRESHOLD, mmap_bytes), (_M_TRIM_THRESHOLD, trim_bytes))
    )


def frames_from_job(job: dict[str, Any]) -> list[npt.NDArray[np.uint8]]:
    """The frames that the parent left in a file."""
    return list(np.load(job["frames"]))


@contextmanager
def answers_to_parent() -> Iterator[TextIO]:
    """Where answers go: the first standard output. What libraries print goes to standard error from here on."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        yield answers


def take_turns(
    answers: TextIO,
    process: Process,
    frames: list[npt.NDArray[np.uint8]],
    *,
    look: Process | None = None,
    about: dict[str, Any] | None = None,
    orders: Iterable[str] | None = None,
) -> None:
    """Say that all is ready, then do what each order says until there are no more.

    `block` runs frames for so many seconds after an uncounted lead-in, `boxes` gives what was found in each frame once:
    by `look` where that is another way, which also gives weaker boxes. orders: lines of standard input by default.
    """

    def tell(**answer: object) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    process(frames[0])
    tell(ready=True, about=about or {})
    sent = 0
    for line in orders if orders is not None else sys.stdin:
        order = json.loads(line)
        if order["do"] == "boxes":
            tell(boxes=[np.asarray((look or process)(frame), np.float64).reshape(-1, 6).tolist() for frame in frames])
            continue
        for _ in range(order["lead_in"]):
            process(frames[sent % len(frames)])
        cpu_ns, begun_ns, length_ns = time.process_time_ns(), time.perf_counter_ns(), int(order["seconds"] * 1e9)
        done_ns: list[int] = []
        while not done_ns or done_ns[-1] < length_ns:
            process(frames[sent % len(frames)])
            sent += 1
            done_ns.append(time.perf_counter_ns() - begun_ns)
        tell(begun_ns=begun_ns, done_ns=done_ns, cpu_ns=time.process_time_ns() - cpu_ns)
