"""Clients' shared memory in the model process: opened by way of the bridge, mapped, and let go when it is abandoned."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import mmap
import os
import time
from collections.abc import Callable

_LOOK_S = 5.0


class Regions:
    """Clients' regions, mapped from the bridge's descriptors; let go when their client no longer locks them."""

    def __init__(self, on_unmap: Callable[[int, int], None]) -> None:
        self._on_unmap = on_unmap
        self._known: dict[int, tuple[int, mmap.mmap, int]] = {}
        self._looked_s = time.monotonic()

    def address(self, descriptor: int, inode: int) -> int:
        """Where the region lies in this process. Raises OSError when it is gone."""
        if inode not in self._known:
            self._known[inode] = self._map(descriptor, inode)
        return self._known[inode][2]

    def drop_abandoned_at_times(self) -> bool:
        """Let go of regions that no client holds any more, if it is time to look; whether there were any."""
        if (now_s := time.monotonic()) - self._looked_s < _LOOK_S:
            return False
        self._looked_s = now_s
        known_before = len(self._known)
        self._drop_abandoned()
        return len(self._known) < known_before

    def _map(self, descriptor: int, inode: int) -> tuple[int, mmap.mmap, int]:
        file = os.open(f"/proc/{os.getppid()}/fd/{descriptor}", os.O_RDWR | os.O_CLOEXEC)
        try:
            status = os.fstat(file)
            if status.st_ino != inode:  # the bridge has let go of it, and the number is another file's by now
                raise FileNotFoundError("its client has closed the shared memory")
            memory = mmap.mmap(file, status.st_size)
        except BaseException:
            os.close(file)
            raise
        return file, memory, ctypes.addressof(ctypes.c_ubyte.from_buffer(memory))

    def _drop_abandoned(self) -> None:
        for inode, (file, memory, address) in list(self._known.items()):
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                continue
            del self._known[inode]
            self._on_unmap(address, len(memory))
            os.close(file)
            # A view of it that somebody still holds keeps it mapped until it goes.
            with contextlib.suppress(BufferError):
                memory.close()
