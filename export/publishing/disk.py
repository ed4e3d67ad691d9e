"""A full disk, told in one line wherever an export meets it."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from photofinish.errors import ExportError

FULL = tuple(os.strerror(code) for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
"""What the system calls it. By text: shutil gathers several errors into one without a number."""


@contextmanager
def told_when_full(*folders: Path) -> Iterator[None]:
    """Turn a library's "no space left" into an ExportError with what is free in `folders`."""
    try:
        yield
    except OSError as exc:
        reason = next((text for text in FULL if text in str(exc)), None)
        if reason is None:
            raise
        free = ", ".join(f"{folder} has {_free_bytes(folder) / 1e6:.1f} MB free" for folder in folders)
        raise ExportError(
            f"a file cannot be written: {reason} ({free}); free some space, or choose other folders with --staging, "
            "--repository and the variable TMPDIR. Nothing was left behind"
        ) from exc


def _free_bytes(folder: Path) -> int:
    """Of the folder, or of the nearest one above it that exists."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(existing).free
