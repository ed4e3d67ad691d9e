"""Page-locked memory that is shared with the server or with clients."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from .driver import Cuda, CudaError


class SharedPages:
    """Memory shared with the server or with clients, page-locked, so that the GPU reads requests where they are."""

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda
        self._known: list[tuple[int, int, bool]] = []

    def hold(self, address: int, size: int) -> bool:
        """Whether the GPU may read these bytes directly. Triton's region moves when it grows, so look again."""
        for start, end, is_registered in self._known:
            if start <= address and address + size <= end:
                return is_registered
        for start, end in _shared_mappings():
            if start <= address and address + size <= end:
                return self._register(start, end)
        return False

    def forget(self, start: int, size: int) -> None:
        """Let go of memory that is about to be unmapped."""
        for known in [known for known in self._known if start <= known[0] < start + size]:
            self._known.remove(known)
            if known[2]:
                self._cuda.make_current()
                self._cuda.unregister(known[0])

    def _register(self, start: int, end: int) -> bool:
        try:
            self._cuda.register(start, end - start)
            is_registered = True
        except CudaError as exc:
            sys.stderr.write(f"photofinish: requests go to the GPU by way of a staging buffer: {exc}\n")
            is_registered = False
        self._known.insert(0, (start, end, is_registered))
        return is_registered


def _shared_mappings() -> Iterator[tuple[int, int]]:
    """Start and end of this process's mappings of the stub's memory, the lane's and the clients' regions."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        if any(name in line for name in ("/dev/shm/photofinish_", "/memfd:photofinish_", "/dev/shm/photofinish-")):
            start, _, end = line.split(" ", 1)[0].partition("-")
            yield int(start, 16), int(end, 16)
