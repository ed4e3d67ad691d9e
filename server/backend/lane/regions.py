"""Clients' shared memory in the model process: opened by way of the bridge, mapped, and let go when it is abandoned.

A client may shrink its memory while an engine reads it, which would end this process by SIGBUS. The guard, a library
that is compiled with the bridge, puts zeros in the place of what is gone; the requests that read them are refused.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import mmap
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

LOOK_S = 2.0


class Guard(Protocol):
    """server/bridge/guard.h, by its names there."""

    def photofinish_watch(self, start: int, byte_size: int) -> int:
        """Begin to watch a range; 0 when it cannot be watched."""

    def photofinish_unwatch(self, start: int) -> None:
        """Watch it no longer."""

    def photofinish_is_lost(self, start: int) -> int:
        """Whether a part of the range was gone when it was read."""

    lost_count: ctypes.c_uint32
    """How often that happened; photofinish_lost_count itself, for looking at it costs least."""


def open_guard(library: str) -> Guard | None:
    """The guard; None, with the reason in the log, when it cannot be loaded: no client's memory is then mapped."""
    try:
        guard = ctypes.CDLL(library)
    except OSError as exc:
        sys.stderr.write(f"photofinish: clients' pictures are copied once, their memory cannot be guarded: {exc}\n")
        return None
    guard.photofinish_watch.argtypes = (ctypes.c_uint64, ctypes.c_uint64)
    guard.photofinish_unwatch.argtypes = guard.photofinish_is_lost.argtypes = (ctypes.c_uint64,)
    guard.photofinish_unwatch.restype = None
    guard.lost_count = ctypes.c_uint32.in_dll(guard, "photofinish_lost_count")  # type: ignore[attr-defined]
    found: Guard = guard  # type: ignore[assignment]
    return found


@dataclass(frozen=True)
class MappedRegion:
    """One client's memory here. file: a descriptor of this process's own."""

    file: int
    memory: mmap.mmap
    address: int
    byte_size: int


class Regions:
    """Clients' regions, mapped from the bridge's descriptors, by inode; let go when their client no longer locks them.

    on_unmap: told start and size before a mapping goes. guard: without it no region is mapped. known: what is mapped.
    """

    def __init__(self, on_unmap: Callable[[int, int], None], guard: Guard | None) -> None:
        self._on_unmap = on_unmap
        self._guard = guard
        self.known: dict[int, MappedRegion] = {}
        self._lost_count = 0
        self._looked_s = time.monotonic()

    def find(self, descriptor: int, inode: int, offset: int, byte_size: int) -> MappedRegion:
        """The region, mapped at least so far. Raises OSError when it is gone, or holds less."""
        if inode not in self.known:
            self.known[inode] = self._map(descriptor, inode)
        region = self.known[inode]
        if offset + byte_size > region.byte_size:
            # Mapped anew it would lie elsewhere, and another request of this execution may be reading it.
            raise OSError(f"its shared memory held {region.byte_size} bytes, {offset + byte_size} are asked for")
        return region

    def lost(self) -> set[int]:
        """Addresses of regions of which a part was gone when an engine read it."""
        if self._guard is None or (count := self._guard.lost_count.value) == self._lost_count:
            return set()
        self._lost_count = count
        addresses = (region.address for region in self.known.values())
        return {address for address in addresses if self._guard.photofinish_is_lost(address)}

    def drop_lost(self) -> bool:
        """Let go of regions that have lost a part; whether there were any."""
        return self._drop(lambda region: bool(self._guard and self._guard.photofinish_is_lost(region.address)))

    def drop_all(self) -> None:
        """Let go of every region."""
        self._drop(lambda region: True)

    def is_due(self) -> bool:
        """Whether it is time to look who still holds what is mapped."""
        return bool(self.known) and time.monotonic() - self._looked_s >= LOOK_S

    def drop_abandoned_at_times(self) -> bool:
        """Let go of regions that no client holds any more, if it is time to look; whether there were any."""
        if not self.is_due():
            return False
        self._looked_s = time.monotonic()
        return self._drop(is_abandoned)

    def _map(self, descriptor: int, inode: int) -> MappedRegion:
        if self._guard is None:
            raise OSError("clients' shared memory cannot be guarded here")
        # Not to be waited for: a lease that the client has taken on its file.
        file = os.open(f"/proc/{os.getppid()}/fd/{descriptor}", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(file)
            if status.st_ino != inode:  # the bridge has let go of it, and the number is another file's by now
                raise FileNotFoundError("its client has closed the shared memory")
            if status.st_size == 0:
                raise OSError("its shared memory is empty")
            memory = mmap.mmap(file, status.st_size)
            address = ctypes.addressof(ctypes.c_ubyte.from_buffer(memory))
            if not self._guard.photofinish_watch(address, status.st_size):
                raise OSError("too much shared memory is in use")
        except ValueError as exc:  # Python's word for a file that has become shorter
            os.close(file)
            raise OSError(f"its shared memory cannot be mapped: {exc}") from exc
        except BaseException:
            os.close(file)
            raise
        return MappedRegion(file, memory, address, status.st_size)

    def _drop(self, goes: Callable[[MappedRegion], bool]) -> bool:
        gone = [(inode, region) for inode, region in self.known.items() if goes(region)]
        for inode, region in gone:
            del self.known[inode]
            self._on_unmap(region.address, region.byte_size)
            if self._guard is not None:
                self._guard.photofinish_unwatch(region.address)
            os.close(region.file)
            # A view of it that somebody still holds keeps it mapped until it goes.
            with contextlib.suppress(BufferError):
                region.memory.close()
        return bool(gone)


def is_abandoned(region: MappedRegion) -> bool:
    """Whether its client is gone, or has taken a part of it away."""
    if os.fstat(region.file).st_size < region.byte_size:
        return True
    try:
        fcntl.flock(region.file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    fcntl.flock(region.file, fcntl.LOCK_UN)
    return True
