"""Hashes of files: of one, and of our own source, since what was made by other code is stale."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
ROOT = PACKAGE.parent
ROOMS = ("client", "export", "perf", "server")
"""Folders beside the package, with a link in it; in a wheel they lie in the package itself."""


def sha256_from_file(path: Path) -> str:
    """The file's SHA-256 in hexadecimal, read piece by piece."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def source_files(folders: Iterable[str], *, without: Iterable[str] = (), root: Path = ROOT) -> list[Path]:
    """Every source file below `folders`, however deep, but for those below `without`; all relative to `root`.

    `photofinish` stands for the package without its rooms. A link in it (variants.toml) is no source.
    """
    left_out = [_place(folder, root) for folder in without]
    rooms_within = [root / PACKAGE.name / room for room in ROOMS]
    found = {
        path
        for folder in folders
        for path in _place(folder, root).rglob("*")
        if path.is_file()
        and not path.is_symlink()
        and "__pycache__" not in path.parts
        and not any(skip in path.parents for skip in (*left_out, *(rooms_within if folder == PACKAGE.name else ())))
    }
    return sorted(found)


def _place(folder: str, root: Path) -> Path:
    """Where a room or a part of one lies, in a checkout or in a wheel."""
    within = root / PACKAGE.name / folder
    return (within if within.exists() else root / folder).resolve()


def source_hash(files: Iterable[Path], root: Path = ROOT) -> str:
    """SHA-256 over the files' places and contents, in hex."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
