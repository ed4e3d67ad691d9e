"""Picture files as sources."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from photofinish.client.sources.heif import image_from_heif
from photofinish.client.sources.live import quiet_capture
from photofinish.client.sources.presentation import Clock
from photofinish.client.sources.source import ReplaySource
from photofinish.errors import SourceError
from photofinish.pictures import IMAGE_SUFFIXES, image_from_file

PICTURE_SUFFIXES = (*IMAGE_SUFFIXES, ".heic", ".heif")
"""What is read as a picture: what OpenCV decodes, and what FFmpeg does."""
STILLS_PER_S = 30.0
"""Rate at which pictures are played when a pace is asked for."""
_STILL_NS = round(1e9 / STILLS_PER_S)


def picture_from_file(path: Path) -> npt.NDArray[np.uint8]:
    """The picture (height, width, 3), blue first. Raises SourceError for anything that is not a whole picture."""
    try:
        return image_from_file(path)
    except SourceError:
        content = path.read_bytes() if path.is_file() else b""
        if content[4:8] != b"ftyp":
            raise
        return image_from_heif(content, str(path))


class _Still:
    """One file of a PictureSource."""

    def __init__(self, presented_ns: int, read: Callable[[], npt.NDArray[np.uint8] | None]) -> None:
        self.presented_ns = presented_ns
        self.image_hwc_bgr = read


class PictureSource(ReplaySource):
    """One or more picture files. Of several, those that cannot be read are told and left out, unless `strict`."""

    def __init__(
        self,
        name: str,
        paths: tuple[Path, ...],
        *,
        loop: bool = False,
        paced: bool = False,
        strict: bool = False,
        on_notice: Callable[[str], None] = lambda text: None,
        clock: Clock = time.perf_counter_ns,
    ) -> None:
        """A single picture is decoded now; raises SourceError when it cannot be."""
        quiet_capture()
        self.paths = paths
        self._position = 0
        self._is_strict = strict or len(paths) == 1
        self._on_notice = on_notice
        self._given: list[Path] = []
        single = picture_from_file(paths[0]) if len(paths) == 1 else None
        super().__init__(
            name,
            clock=clock,
            loop=loop,
            paced=paced,
            size_wh=None if single is None else (single.shape[1], single.shape[0]),
            frames_per_s=STILLS_PER_S,
            frame_count=len(paths),
        )

    def path_of(self, index: int) -> Path:
        """The file that frame `index` comes from."""
        return self._given[index % len(self._given)]

    def rewind(self) -> None:
        """Go back to the first picture."""
        self._position = 0

    def end_ns(self) -> int:
        """When the last picture so far ends."""
        return self._position * _STILL_NS

    def next_picture(self) -> _Still | None:
        """The next picture, or None after the last. Raises SourceError when none of them could be read."""
        position = self._position
        if position >= len(self.paths):
            if len(self.skipped) == len(self.paths):
                raise SourceError(f"none of the {len(self.paths)} pictures of {self.name} can be read")
            return None
        self._position += 1
        path = self.paths[position]
        if position == len(self._given) + len(self.skipped):  # not seen before
            self._given.append(path)
        return _Still(position * _STILL_NS, lambda: self._read(path))

    def _read(self, path: Path) -> npt.NDArray[np.uint8] | None:
        try:
            return picture_from_file(path)
        except SourceError as exc:
            if self._is_strict:
                raise
            if path in self._given:
                self._given.remove(path)
                self.skipped.append(path.name)
                self._on_notice(f"skipped: {exc}")
            return None
