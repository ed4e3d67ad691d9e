"""A hash of our own source files: what was made by other code is stale."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def source_files(folders: Iterable[str], *, without: Iterable[str] = (), root: Path = ROOT) -> list[Path]:
    """Every source file below `folders`, however deep, but for those below `without`; all relative to `root`."""
    left_out = [root / folder for folder in without]
    found = {
        path
        for folder in folders
        for path in (root / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not any(skip in path.parents for skip in left_out)
    }
    return sorted(found)


def source_hash(files: Iterable[Path], root: Path = ROOT) -> str:
    """SHA-256 over the files' places and contents, in hex."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
