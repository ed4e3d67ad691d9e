"""Temporary folders that are found again and removed when the process that made them was killed."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from photofinish.machine.processes import is_alive

PREFIX = "photofinish-work-"
"""Followed by the id of the process that made the folder."""


@contextmanager
def scratch_folder(parent: Path | None = None) -> Iterator[Path]:
    """An empty folder in `parent`, or in the system's temporary folder; gone when the block ends, however it does.

    In the temporary folder, which nobody else cleans, what killed processes left goes first.
    """
    if parent is None:
        remove_stale()
    made = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}_", dir=parent))
    descriptor = os.open(made, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield made
    finally:
        os.close(descriptor)
        remove(made)


def remove_stale(parent: Path | None = None) -> None:
    """Remove this user's scratch folders in `parent`, or in the temporary folder, whose process is gone.

    The process id alone would not do: another container may share the folder, and has ids of its own.
    """
    for path in (parent or Path(tempfile.gettempdir())).glob(f"{PREFIX}[0-9]*_*"):
        owner = path.name.removeprefix(PREFIX).split("_", 1)[0]
        with suppress(OSError):
            if owner.isdigit() and not is_alive(int(owner)) and path.lstat().st_uid == os.getuid():
                descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    remove(path)
                finally:
                    os.close(descriptor)


def remove(path: Path) -> None:
    """Remove a folder, a file or a link, whatever lies there; what is gone already, or cannot be removed, is no error.

    A second Ctrl-C may cut it short: what is left is found by `remove_stale`.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with suppress(OSError):
        path.unlink()
