"""Cameras' newest pictures, small: written by the decode processes from what they hold, never decoded anew."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from photofinish.client.cameras.schedule.batches import FrameWriter
from photofinish.client.cameras.values.outcome import Inferred
from photofinish.client.cameras.wire.messages import WriteFrame
from photofinish.client.detect.drawing import class_colour_bgr, draw_detections, draw_keypoints
from photofinish.detections import detections_to_target
from photofinish.letterbox import Letterbox

AT_ONCE = 6
"""Pictures that decode processes are asked for at one time."""
TIMEOUT_S = 1.0
DIM = 0.35
SMALL_SCALE = 0.5
"""Of keypoints in a picture without labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallPicture:
    """image_hwc_bgr: (height, width, 3) uint8, letterboxed. captured_ns: as in DueFrame."""

    image_hwc_bgr: npt.NDArray[np.uint8]
    letterbox: Letterbox
    captured_ns: int


class PictureTaker:
    """Asks for pictures of one size. For one event loop, and closed after it."""

    def __init__(self, writer: FrameWriter, size_wh: tuple[int, int]) -> None:
        self.size_wh = size_wh
        self._writer = writer
        self._shape = (AT_ONCE, size_wh[1], size_wh[0], 3)
        self._descriptor = os.memfd_create("photofinish-pictures")
        os.truncate(self._descriptor, int(np.prod(self._shape)))
        with open(self._descriptor, "r+b", closefd=False) as file:
            self._memory: npt.NDArray[np.uint8] = np.memmap(file, dtype=np.uint8, shape=self._shape)
        self._region = f"{os.getpid()}/{self._descriptor}/{os.fstat(self._descriptor).st_ino}"
        self._free = list(range(AT_ONCE))

    def close(self) -> None:
        """Give the memory back."""
        os.close(self._descriptor)

    async def take(self, camera: str) -> SmallPicture | None:
        """The newest picture; None when there is none, or none could be had in time."""
        if not self._free:
            return None
        position = self._free.pop()
        wish = WriteFrame(
            request=0,
            camera=camera,
            region=self._region,
            shape=self._shape,
            datatype="uint8",
            position=position,
            contract="frames",
            input_wh=self.size_wh,
        )
        answer = self._writer.ask(wish)
        try:
            await asyncio.wait([answer], timeout=TIMEOUT_S)
            if not answer.done():
                return None
            written = answer.result()
            if written.frame is None or written.letterbox is None:
                return None
            image = cv2.cvtColor(self._memory[position], cv2.COLOR_RGB2BGR).astype(np.uint8, copy=False)
            return SmallPicture(image_hwc_bgr=image, letterbox=written.letterbox, captured_ns=written.frame.captured_ns)
        finally:
            if answer.done():
                self._free.append(position)
            else:  # what is written late must not lie in another camera's picture
                answer.add_done_callback(lambda done: self._free.append(position))


def with_boxes(picture: SmallPicture, result: Inferred | None, *, has_labels: bool) -> npt.NDArray[np.uint8]:
    """A copy with the boxes of `result`, if they are of a picture of this size."""
    if result is None or result.size_wh != picture.letterbox.source_wh:
        return picture.image_hwc_bgr.copy()
    found = detections_to_target(result.detections, picture.letterbox)
    if has_labels:
        return draw_detections(picture.image_hwc_bgr, found, result.class_names)
    image = picture.image_hwc_bgr.copy()
    boxes = np.rint(found.boxes_xyxy).astype(int).tolist()
    for (x1, y1, x2, y2), class_id in zip(boxes, found.class_id, strict=True):
        cv2.rectangle(image, (x1, y1), (x2, y2), class_colour_bgr(int(class_id)), 2)
    if found.keypoints:
        draw_keypoints(image, found.keypoints, found.boxes_xyxy, scale=SMALL_SCALE)
    return image


def dimmed(image_hwc_bgr: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """A picture that is an old one."""
    return (image_hwc_bgr * DIM).astype(np.uint8)
