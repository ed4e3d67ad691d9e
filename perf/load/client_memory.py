"""Whether the measuring client keeps its freed memory, or gives it back to the kernel after every call.

glibc decides by what the process freed before: a textbook client that sends 4.9 MB a call takes some 4,400 page faults
a call in one process and none in another (`experiments/wire_faults.py`). A measurement must not hang on that, so the
client keeps its memory unless `plain` is asked for. All sides run in this one process, so it holds for all alike.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Literal

ClientMemory = Literal["kept", "plain"]
MMAP_THRESHOLD_BYTES = 64 << 20
TRIM_THRESHOLD_BYTES = 256 << 20
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


def settle_client_memory(wanted: ClientMemory, on_progress: Callable[[str], None]) -> ClientMemory:
    """Make this process keep its freed memory if that is wanted; what holds from now on. Another libc: plain, and said.

    Kept stays kept until the process ends.
    """
    if wanted == "plain":
        return "plain"
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt and all(
        mallopt(name, value) == 1
        for name, value in ((_M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES), (_M_TRIM_THRESHOLD, TRIM_THRESHOLD_BYTES))
    ):
        return "kept"
    on_progress(
        "this system's C library has no mallopt, so the client's memory is left as it is: --client-memory plain"
    )
    return "plain"
