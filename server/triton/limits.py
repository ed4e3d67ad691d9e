"""What the operating system lets a server have: open files and shared memory."""

from __future__ import annotations

import resource
from collections.abc import Callable

from photofinish.errors import ServerError
from photofinish.machine.disk import free_bytes
from photofinish.server.triton.supervisor import SHARED_MEMORY

SCARCE_BYTES = 64 << 20
"""With less shared memory than this at the start, a failure is likely for want of it."""
SERVER_DESCRIPTORS = 256
"""What a server with few clients has open; each connection takes one more."""
MODEL_DESCRIPTORS = 16
MOST_DESCRIPTORS = 65536
"""More is not asked for: some programs walk through all numbers that are possible."""
DESCRIPTORS_REMEDY = (
    "close programs that keep connections to it open, or let it have more: `ulimit -n 65536` in this shell "
    "(docker: --ulimit nofile=65536, systemd: LimitNOFILE=65536)"
)


def descriptors_for(model_count: int, limits: Callable[[int], tuple[int, int]] = resource.getrlimit) -> int:
    """How many files a server of so many models may have open: as many as the hard limit allows, within reason.

    Raises ServerError when that is too few to serve at all.
    """
    _, hard = limits(resource.RLIMIT_NOFILE)
    allowed = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    needed = SERVER_DESCRIPTORS + MODEL_DESCRIPTORS * model_count
    if allowed < needed:
        raise ServerError(
            f"this process may have {hard} files open (`ulimit -Hn`), a server of {model_count} models needs {needed}; "
            "raise it: `ulimit -n 65536` as root or in /etc/security/limits.conf (docker: --ulimit nofile=65536, "
            "systemd: LimitNOFILE=65536)"
        )
    return allowed


def shared_memory_scarcity() -> str:
    """What to add to a failure where there was little shared memory at the start; "" where there was enough."""
    free = free_bytes(SHARED_MEMORY)
    if free >= SCARCE_BYTES:
        return ""
    return (
        f"; {SHARED_MEMORY} had only {free / 2**20:.1f} MiB free: enlarge it (docker: --shm-size=1g) or serve fewer "
        "models with --model"
    )
