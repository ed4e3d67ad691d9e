"""A decoded picture into memory of another process, letterboxed as the model wants it."""

from __future__ import annotations

import mmap
import os
from collections import OrderedDict
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from photofinish.client.cameras.decode.camera import DecodedCamera
from photofinish.client.cameras.decode.codec import CpuPicture
from photofinish.client.cameras.wire.messages import FrameWritten, WriteFrame
from photofinish.client.triton.tensors import write_input
from photofinish.errors import SourceError, reason_from_error
from photofinish.letterbox import Resize

MAX_MAPPED = 128
"""Eight GPUs with six batches under way each, and what looks at pictures beside them."""


class RegionMaps:
    """Memory of other processes, mapped once and found by `InputRegion.direct`, "process/descriptor/inode/…".

    What its owner has closed is let go of when another region comes, since the memory lives as long as it is mapped.
    """

    def __init__(self) -> None:
        self._mapped: OrderedDict[str, mmap.mmap] = OrderedDict()

    def array(self, region: str, shape: tuple[int, ...], datatype: str) -> npt.NDArray[Any]:
        """The region as an array of this shape. Raises SourceError when it cannot be had."""
        memory = self._mapped.get(region)
        if memory is None:
            for closed in [name for name in self._mapped if not _is_there(name)]:
                del self._mapped[closed]
            memory = self._mapped[region] = _memory_from_region(region)
            if len(self._mapped) > MAX_MAPPED:
                self._mapped.popitem(last=False)
        else:
            self._mapped.move_to_end(region)
        count = int(np.prod(shape))
        return np.frombuffer(memory, dtype=np.dtype(datatype), count=count).reshape(shape)


def _place_of(region: str) -> tuple[Path, int]:
    """Where the owner has it open, and its inode. Raises ValueError."""
    process, descriptor, inode = (int(word) for word in region.split("/")[:3])
    return Path(f"/proc/{process}/fd/{descriptor}"), inode


def _is_there(region: str) -> bool:
    """Whether its owner still has it."""
    path, inode = _place_of(region)
    try:
        return path.stat().st_ino == inode
    except OSError:
        return False


def _memory_from_region(region: str) -> mmap.mmap:
    try:
        path, inode = _place_of(region)
        opened = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except (OSError, ValueError) as exc:
        raise SourceError(f"the memory for pictures cannot be opened: {reason_from_error(exc)}") from exc
    try:
        found = os.fstat(opened)
        if found.st_ino != inode:
            raise SourceError("the memory for pictures is another one by now")
        return mmap.mmap(opened, found.st_size)
    finally:
        os.close(opened)


def write_held_frame(
    camera: DecodedCamera[CpuPicture] | None, wish: WriteFrame, maps: RegionMaps, resize: Resize | None = None
) -> FrameWritten:
    """Write the newest picture of the camera where the owner wants it, and say which it was.

    resize: in place of OpenCV where it can.
    """
    if camera is None or camera.held is None:
        return FrameWritten(request=wish.request, camera=wish.camera, frame=None, message="no picture is held")
    picture, told = camera.held
    try:
        out = maps.array(wish.region, wish.shape, wish.datatype)[wish.position]
        image = picture.converter.image_from_frame(picture.frame)
        letterbox = write_input(image, wish.contract, wish.input_wh, out, resize=resize)
    except (SourceError, av.FFmpegError, ValueError, MemoryError, IndexError) as exc:
        return FrameWritten(request=wish.request, camera=wish.camera, frame=None, message=reason_from_error(exc))
    return FrameWritten(request=wish.request, camera=wish.camera, frame=told, letterbox=letterbox)
