"""Pictures in shared memory: one process writes, others read the newest one.

The memory is anonymous (the multiprocessing heap unlinks its file at once), so nothing is left in /dev/shm, whatever
dies. No lock is used: a killed process would keep it. Each slot carries a version that is odd while it is written;
a reader copies the picture out and takes it only if the version stayed the same.
"""

from __future__ import annotations

import ctypes
import multiprocessing
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from photofinish.detections import Detections

SLOT_COUNT = 4
"""A reader has the time of three further pictures to copy its own."""
READER_COUNT = 2
MAX_TRUTH_ROWS = 300
FRAME_PIXELS = 1920 * 1080
"""Larger pictures are reduced by the source process; detectors take 640 pixels."""

_HEADER = np.dtype(
    [
        ("version", np.int64),
        ("sequence", np.int64),
        ("index", np.int64),
        ("captured_ns", np.int64),
        ("width", np.int32),
        ("height", np.int32),
        ("truth_rows", np.int32),
        ("padding", np.int32),
        ("truth", np.float32, (MAX_TRUTH_ROWS, 5)),
    ]
)
_NO_TRUTH = -1
_ON_DEMAND = 1 + READER_COUNT
_WATCHED = 2 + READER_COUNT
_READ_ATTEMPTS = 8


class PictureMemory:
    """The shared bytes of one picture channel; travels to a spawned process as a constructor argument."""

    def __init__(self, *, max_pixels: int) -> None:
        """Reserve room for SLOT_COUNT pictures of at most `max_pixels` pixels."""
        context = multiprocessing.get_context("spawn")
        self.max_pixels = max_pixels
        self.words: Any = context.RawArray(ctypes.c_int64, 3 + READER_COUNT)
        self.headers: Any = context.RawArray(ctypes.c_uint8, _HEADER.itemsize * SLOT_COUNT)
        self.pixels: Any = context.RawArray(ctypes.c_uint8, max_pixels * 3 * SLOT_COUNT)

    def forget(self) -> None:
        """Hold no picture any more; for a new source, while no process uses the memory."""
        self.words[:] = [0] * len(self.words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One picture read from a channel; sequence counts the channel's pictures from 1.

    image_hwc_bgr: (height, width, 3) uint8, the reader's own copy.
    """

    image_hwc_bgr: npt.NDArray[np.uint8]
    sequence: int
    index: int
    captured_ns: int
    truth: Detections | None


class _Views:
    def __init__(self, memory: PictureMemory) -> None:
        self.words = np.frombuffer(memory.words, dtype=np.int64)
        self.headers = np.frombuffer(memory.headers, dtype=_HEADER)
        self.pixels = np.frombuffer(memory.pixels, dtype=np.uint8).reshape(SLOT_COUNT, -1)
        self.max_pixels = memory.max_pixels


class PictureWriter(_Views):
    """Writes pictures; the newest replaces the oldest slot."""

    def write(
        self, image_hwc: npt.NDArray[np.uint8], *, index: int, captured_ns: int, truth: Detections | None = None
    ) -> None:
        """Publish one picture (height, width, 3) uint8 of at most the channel's pixels."""
        height, width = image_hwc.shape[:2]
        if height * width > self.max_pixels or image_hwc.dtype != np.uint8 or image_hwc.ndim != 3:
            raise ValueError(
                f"image_hwc must be uint8 with at most {self.max_pixels} pixels, "
                f"got {image_hwc.dtype} with shape {image_hwc.shape}"
            )
        sequence = int(self.words[0]) + 1
        slot = sequence % SLOT_COUNT
        header = self.headers[slot]
        writing = int(header["version"]) + 1 | 1
        header["version"] = writing
        self.pixels[slot, : height * width * 3].reshape(height, width, 3)[...] = image_hwc
        header["sequence"], header["index"], header["captured_ns"] = sequence, index, captured_ns
        header["width"], header["height"] = width, height
        header["truth_rows"] = _NO_TRUTH if truth is None else _write_truth(header["truth"], truth)
        header["version"] = writing + 1
        self.words[0] = sequence

    def is_taken(self) -> bool:
        """Whether a reader has the newest picture, or there is none yet."""
        return int(self.words[1:_ON_DEMAND].max()) >= int(self.words[0])

    @property
    def is_on_demand(self) -> bool:
        """Whether the readers want the next picture made when they have taken the last, and not before."""
        return bool(self.words[_ON_DEMAND])

    @property
    def is_watched(self) -> bool:
        """Whether somebody looks at what is made of the pictures."""
        return bool(self.words[_WATCHED])


def _write_truth(rows: npt.NDArray[np.float32], truth: Detections) -> int:
    count = min(len(truth), MAX_TRUTH_ROWS)
    rows[:count, :4] = truth.boxes_xyxy[:count]
    rows[:count, 4] = truth.class_id[:count]
    return count


class PictureReader(_Views):
    """Reads the newest picture. `reader` is this process's place (0 or 1) in the record of who took what.

    on_demand: no picture is made ahead; `take` asks for the next one, and reading alone does not.
    """

    def __init__(self, memory: PictureMemory, *, reader: int = 0, on_demand: bool = False) -> None:
        super().__init__(memory)
        self._reader = reader
        self._on_demand = on_demand
        if on_demand:
            self.words[_ON_DEMAND] = 1

    @property
    def newest(self) -> int:
        """Sequence number of the newest picture, 0 when there is none."""
        return int(self.words[0])

    @property
    def newest_index(self) -> int:
        """Frame index of the newest picture, -1 when there is none."""
        return int(self.headers[self.newest % SLOT_COUNT]["index"]) if self.newest else -1

    def take(self) -> None:
        """Let a source that waits for its readers go on to the next picture."""
        self.words[1 + self._reader] = self.newest

    def tell_watched(self, is_watched: bool) -> None:
        """Tell the writer whether somebody looks at what is made of its pictures."""
        self.words[_WATCHED] = is_watched

    def read(self, *, after: int = 0) -> Picture | None:
        """The newest picture, or None unless its sequence number is larger than `after`."""
        for _ in range(_READ_ATTEMPTS):
            sequence = self.newest
            if sequence <= after:
                return None
            picture = self._copy(sequence)
            if picture is not None:
                if not self._on_demand:
                    self.words[1 + self._reader] = sequence
                return picture
        return None

    def _copy(self, sequence: int) -> Picture | None:
        """The picture of that sequence number, or None when the writer was faster."""
        slot = sequence % SLOT_COUNT
        header = self.headers[slot]
        version = int(header["version"])
        if version % 2:
            return None
        height, width = int(header["height"]), int(header["width"])
        if not 0 < height * width <= self.max_pixels:
            return None
        image = self.pixels[slot, : height * width * 3].reshape(height, width, 3).copy()
        picture = Picture(
            image_hwc_bgr=image,
            sequence=sequence,
            index=int(header["index"]),
            captured_ns=int(header["captured_ns"]),
            truth=_read_truth(header["truth"], int(header["truth_rows"])),
        )
        return picture if int(header["version"]) == version and int(header["sequence"]) == sequence else None


def _read_truth(rows: npt.NDArray[np.float32], count: int) -> Detections | None:
    if count < 0:
        return None
    kept = rows[:count].copy()
    return Detections(
        boxes_xyxy=kept[:, :4],
        confidence=np.ones(len(kept), dtype=np.float32),
        class_id=np.rint(kept[:, 4]).astype(np.int32),
    )
