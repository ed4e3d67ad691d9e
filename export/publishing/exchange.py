"""A folder put in another one's place by one rename, where the file system can do that."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

from photofinish.machine.scratch import remove
from photofinish.machine.signals import held_back

TRIES = 100
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_CANNOT = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM, errno.EXDEV)
"""What a kernel or a file system says that has no exchange: NFS, FUSE, some network and overlay file systems."""
_TAKEN = (errno.ENOTEMPTY, errno.EEXIST)


def exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step; False where that cannot be done here. Raises FileNotFoundError when one is gone."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    if rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _CANNOT:
        return False
    raise OSError(code, os.strerror(code), str(other))


def put_in_place(made: Path, target: Path, aside: Path) -> None:
    """`made` becomes `target`; what lay there becomes `aside`, which must not exist. All on one file system.

    A reader sees the old folder or the new one, never none, and neither does a kill leave none. Without an exchange
    there are two renames: a reader may see none for an instant, and a kill between them leaves the old one in `aside`,
    with `made` complete beside it. Signals wait until it is done, and an error puts the old one back.
    """
    with held_back():
        for attempt in range(TRIES):
            try:
                if exchange(made, target):
                    made.rename(aside)
                    return
            except FileNotFoundError:  # nothing is there, unless another export is quicker
                if not made.exists():
                    raise
            try:
                _rename_twice(made, target, aside)
                return
            except OSError as exc:
                if exc.errno not in _TAKEN or attempt == TRIES - 1:
                    raise
                remove(aside)


def _rename_twice(made: Path, target: Path, aside: Path) -> None:
    was_there = True
    try:
        target.rename(aside)
    except FileNotFoundError:
        was_there = False
    try:
        made.rename(target)
    except BaseException:
        if was_there and not target.exists():
            aside.rename(target)
        raise
