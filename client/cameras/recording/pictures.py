"""Pictures that decode processes hold, at their own size, written into memory that is shared with them."""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from photofinish.client.cameras.schedule.batches import FrameWriter
from photofinish.client.cameras.values.outcome import Inferred
from photofinish.client.cameras.wire.messages import FrameWritten, WriteFrame
from photofinish.letterbox import Letterbox

MAX_WH = (1920, 1080)
"""Larger pictures are made smaller; a region takes so much memory once it was used."""
KEPT_RESULTS = 8


class _Slot:
    """Memory for one picture."""

    def __init__(self, max_wh: tuple[int, int]) -> None:
        self.descriptor = os.memfd_create("photofinish-recording")
        os.truncate(self.descriptor, max_wh[0] * max_wh[1] * 3)
        with open(self.descriptor, "r+b", closefd=False) as file:
            self.memory: npt.NDArray[np.uint8] = np.memmap(file, dtype=np.uint8)
        self.region = f"{os.getpid()}/{self.descriptor}/{os.fstat(self.descriptor).st_ino}"


class HeldPicture:
    """One picture in a slot. image_hwc_rgb: (height, width, 3) uint8, valid until `release`; any thread may do it."""

    def __init__(
        self, camera: str, captured_ns: int, image_hwc_rgb: npt.NDArray[np.uint8], letterbox: Letterbox
    ) -> None:
        self.camera = camera
        self.captured_ns = captured_ns
        self.image_hwc_rgb = image_hwc_rgb
        self.letterbox = letterbox
        self._free: Callable[[], None] = lambda: None

    def release(self) -> None:
        """Its memory may hold another picture."""
        free, self._free = self._free, lambda: None
        free()

    def lies_in(self, free: Callable[[], None]) -> HeldPicture:
        """The picture itself; free: what its release does."""
        self._free = free
        return self


class PictureSlots:
    """Asks decode processes for pictures. For one event loop; pictures may be released by any thread.

    writer: gives the decode processes, which are there by the first question.
    """

    def __init__(self, writer: Callable[[], FrameWriter], count: int, max_wh: tuple[int, int] = MAX_WH) -> None:
        self._writer = writer
        self._max_wh = max_wh
        self._slots = [_Slot(max_wh) for _ in range(count)]
        self._free = list(self._slots)

    def close(self) -> None:
        """Give the memory back."""
        for slot in self._slots:
            os.close(slot.descriptor)
        self._slots, self._free = [], []

    def ask(self, camera: str, source_wh: tuple[int, int], on_answer: Callable[[HeldPicture | None], None]) -> bool:
        """Have the camera's newest picture written; the answer is None when there was none. False: no slot is free."""
        try:
            slot = self._free.pop()
        except IndexError:
            return False
        size_wh = _fitting(source_wh, self._max_wh)
        shape = (1, size_wh[1], size_wh[0], 3)
        wish = WriteFrame(
            request=0,
            camera=camera,
            region=slot.region,
            shape=shape,
            datatype="uint8",
            position=0,
            contract="frames",
            input_wh=size_wh,
        )

        def answered(done: asyncio.Future[FrameWritten]) -> None:
            written = None if done.cancelled() else done.result()
            if written is None or written.frame is None or written.letterbox is None:
                self._free.append(slot)
                on_answer(None)
                return
            image = slot.memory[: int(np.prod(shape))].reshape(shape)[0]
            picture = HeldPicture(camera, written.frame.captured_ns, image, written.letterbox)
            on_answer(picture.lies_in(lambda: self._free.append(slot)))

        self._writer().ask(wish).add_done_callback(answered)
        return True


def _fitting(source_wh: tuple[int, int], max_wh: tuple[int, int]) -> tuple[int, int]:
    """The size itself, or a smaller one of its shape that fits; both sides even, as video wants them."""
    share = min(1.0, max_wh[0] / source_wh[0], max_wh[1] / source_wh[1])
    width, height = (max(round(side * share) // 2 * 2, 2) for side in source_wh)
    return width, height


class Pairs:
    """Brings pictures and results of the same moment together, whichever comes first. For one thread.

    A picture may be newer than the result for which it was asked; then it waits for its own, one for each camera.
    unpaired: pictures that were given up.
    """

    def __init__(self) -> None:
        self.unpaired = 0
        self._results: dict[str, OrderedDict[int, Inferred]] = {}
        self._waiting: dict[str, HeldPicture] = {}

    def with_result(self, result: Inferred) -> HeldPicture | None:
        """A result is there: the picture that belongs to it."""
        kept = self._results.setdefault(result.camera, OrderedDict())
        kept[result.captured_ns] = result
        if len(kept) > KEPT_RESULTS:
            kept.popitem(last=False)
        picture = self._waiting.get(result.camera)
        if picture is None or picture.captured_ns > result.captured_ns:
            return None
        del self._waiting[result.camera]
        if picture.captured_ns == result.captured_ns:
            return picture
        self._give_up(picture)  # its frame was never inferred
        return None

    def with_picture(self, picture: HeldPicture) -> Inferred | None:
        """A picture is there: the result that belongs to it; without one it waits, or is released."""
        kept = self._results.get(picture.camera, OrderedDict[int, Inferred]())
        if (result := kept.get(picture.captured_ns)) is not None:
            return result
        if picture.camera in self._waiting or (kept and picture.captured_ns < next(reversed(kept))):
            self._give_up(picture)  # the one that waits comes first, or none would ever be used
        else:
            self._waiting[picture.camera] = picture
        return None

    def cameras(self) -> set[str]:
        """Those of which anything is kept."""
        return {*self._results, *self._waiting}

    def forget(self, camera: str) -> None:
        """The camera has gone."""
        if (picture := self._waiting.pop(camera, None)) is not None:
            self._give_up(picture)
        self._results.pop(camera, None)

    def _give_up(self, picture: HeldPicture) -> None:
        picture.release()
        self.unpaired += 1
