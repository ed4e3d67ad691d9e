"""A disk that is really full: a small file system of memory, mounted for a test."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def full_disk(folder: Path, *, size_kib: int) -> Iterator[Path]:
    """A tmpfs of that size at `folder`; the test is skipped where this user may not mount one."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size_kib}k,mode=0777", "tmpfs", str(folder)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a full disk needs the right to mount one: root, or `unshare -Urm` before pytest")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
