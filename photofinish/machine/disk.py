"""This user's folders, and a full disk called by its name, with what is free and what to do."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

CACHE_VARIABLE = "PHOTOFINISH_CACHE"
LOG_FOLDER = Path(".photofinish") / "logs"
_WORDS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "this user's quota on the disk is used up",
    errno.EFBIG: "the file is larger than the file system or a limit of this user allows",
}
_LIBRARIES_SAY = {os.strerror(code): code for code in _WORDS}
"""By text: shutil gathers several errors into one without a number, and libraries wrap them."""


def user_cache_dir() -> Path:
    """The folder where Photofinish keeps downloads: $PHOTOFINISH_CACHE, else photofinish/ in the user's cache."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "photofinish"


def log_folder() -> Path:
    """LOG_FOLDER of the working directory; `logs` of the user's cache where nothing can be written there."""
    existing = next(folder for folder in (LOG_FOLDER, *LOG_FOLDER.absolute().parents) if folder.exists())
    return LOG_FOLDER if os.access(existing, os.W_OK) else user_cache_dir() / "logs"


def reason_if_full(exc: BaseException) -> str:
    """`the disk is full`, or another limit of the disk that stopped writing; "" for every other error."""
    code = getattr(exc, "errno", None)
    if code in _WORDS:
        return _WORDS[code]
    return next((_WORDS[found] for text, found in _LIBRARIES_SAY.items() if text in str(exc)), "")


def why_not_written(path: Path, exc: BaseException, remedy: str) -> str:
    """Why `path` cannot be written, for a message: with the free space where that is the cause, and the remedy.

    remedy: how to choose another place, such as `give another --save folder`.
    """
    if reason := reason_if_full(exc):
        return f"{path} cannot be written: {reason} ({free_text(path)}); free some space, or {remedy}"
    said = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
    return f"{path} cannot be written: {said}; {remedy}"


def free_text(path: Path) -> str:
    """`/data has 0.4 MB free`, of the folder that holds `path`, or the nearest one above it that exists."""
    existing = next(item for item in (path, *path.absolute().parents) if item.is_dir())
    return f"{existing} has {free_bytes(existing) / 1e6:.1f} MB free"


def free_bytes(folder: Path) -> int:
    """Free bytes on the disk that holds `folder` or its nearest existing parent."""
    existing = next(item for item in (folder, *folder.absolute().parents) if item.exists())
    return shutil.disk_usage(existing).free
