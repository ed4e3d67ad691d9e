"""One process at a time, by a lock on a file that goes with the process."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path, *, waiting: str, on_progress: Callable[[str], None]) -> Iterator[None]:
    """The lock held up to the end of the block; `waiting` is told when another process holds it meanwhile.

    The file stays behind, empty. Raises OSError when it cannot be opened.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_progress(waiting)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
