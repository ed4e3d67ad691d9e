"""A folder of our own files that never grows beyond a number and a size: the oldest go first."""

from __future__ import annotations

import re
import zlib
from collections import OrderedDict
from pathlib import Path

from photofinish.errors import ConfigError

MOST_BYTES = 200
"""Of a folder's name; file systems take 255."""


def folder_name(camera: str) -> str:
    """A camera's name as a folder: letters of any script, digits, `_`, `-`; its hash where that changes it."""
    changed = re.sub(r"[^\w-]+", "_", camera).encode()[:MOST_BYTES].decode(errors="ignore")
    return changed if changed == camera else f"{changed}-{zlib.crc32(camera.encode()):08x}"


class BoundedFolder:
    """`FOLDER/<camera>/<name>` for names that match `pattern`; other files are never touched. For one thread.

    What was there before the run counts, and goes first.
    """

    def __init__(self, folder: Path, pattern: re.Pattern[str], *, max_files: int, max_bytes: int) -> None:
        self.folder = folder
        self._pattern = pattern
        self._max_files, self._max_bytes = max_files, max_bytes
        self._sizes: OrderedDict[Path, int] = OrderedDict()
        self._total_bytes = 0
        self._is_open = False

    def open(self) -> BoundedFolder:
        """The folder itself, made and looked through. Raises ConfigError when it cannot be written."""
        try:
            self._look()
        except OSError as exc:
            raise ConfigError(f"{self.folder} cannot be written: {exc.strerror or exc}; name another folder") from exc
        return self

    def _look(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        found = [path for path in self.folder.glob("*/*") if self._pattern.fullmatch(path.name) and path.is_file()]
        for _, size, path in sorted((path.stat().st_mtime_ns, path.stat().st_size, path) for path in found):
            self._sizes[path] = size
            self._total_bytes += size
        self._is_open = True
        self.make_room()

    @property
    def total_bytes(self) -> int:
        """Of all files that it keeps."""
        return self._total_bytes

    def path_for(self, camera: str, name: str) -> Path:
        """Where a camera's file of this name lies; its folder is made. Raises OSError."""
        if not self._is_open:
            self._look()
        place = self.folder / folder_name(camera)
        place.mkdir(parents=True, exist_ok=True)
        return place / name

    def keep(self, path: Path, size: int) -> None:
        """A file was written, or has grown; older ones go."""
        self._forget(path)
        self._sizes[path] = size
        self._total_bytes += size
        self.make_room()

    def drop(self, path: Path) -> None:
        """Remove a file. Raises OSError."""
        self._forget(path)
        path.unlink(missing_ok=True)

    def make_room(self) -> None:
        """Remove the oldest files until the bounds hold; the newest one stays. Raises OSError."""
        while len(self._sizes) > 1 and (len(self._sizes) > self._max_files or self._total_bytes > self._max_bytes):
            self.drop(next(iter(self._sizes)))

    def _forget(self, path: Path) -> None:
        self._total_bytes -= self._sizes.pop(path, 0)
