"""The process that reads the source and keeps its newest frame in shared memory for both sides."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from photofinish.address.hiding import is_network_address, public_address
from photofinish.client.sources.live import camera_index
from photofinish.client.sources.opening import open_source
from photofinish.client.ui.processes.child import ChildLink, FinalError
from photofinish.client.ui.processes.slots import FRAME_PIXELS, PictureMemory, PictureWriter
from photofinish.detections import Detections
from photofinish.errors import SourceError
from photofinish.frame import Frame

Pace = Literal["camera", "free"]
"""camera: frames come at the source's own rate. free: the next frame comes as soon as a side took the last one."""

_POLL_S = 0.0005


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceWork:
    """Reads `source` again and again; live sources keep their own pace."""

    source: str = field(repr=False)  # may hold a password
    pace: Pace
    frames: PictureMemory

    def __call__(self, link: ChildLink) -> None:
        """Write frames until told to stop.

        Raises SourceError when the source cannot be read or ends; FinalError where no waiting brings it back.
        """
        try:
            self._write_frames(link)
        except SourceError as exc:
            if may_come_back(self.source):
                raise
            raise FinalError(str(exc)) from exc

    def _write_frames(self, link: ChildLink) -> None:
        writer = PictureWriter(self.frames)
        link.report_waiting(f"opening {public_address(self.source)}")
        has_reported = False

        def tell(notice: str) -> None:
            nonlocal has_reported
            has_reported = False
            link.report_waiting(notice)

        def wait_until_taken() -> None:
            while not writer.is_taken() and not link.is_stopping:
                time.sleep(_POLL_S)

        with open_source(self.source, loop=True, paced=self.pace == "camera", on_notice=tell) as source:
            waits = not source.is_live
            for frame in source.frames():
                if waits:
                    wait_until_taken()
                if link.is_stopping:
                    return
                image, truth, is_reduced = _reduced(frame)
                writer.write(image, index=frame.index, captured_ns=frame.captured_ns, truth=truth)
                if not has_reported:
                    has_reported = True
                    link.report_running(
                        name=source.name,
                        size_wh=frame.size_wh,
                        frames_per_s=source.frames_per_s,
                        is_live=source.is_live,
                        is_reduced=is_reduced,
                    )
                if waits and writer.is_on_demand:  # making the next picture now would slow the side that works
                    wait_until_taken()
        raise SourceError(f"{public_address(self.source)} gives no more frames")


def may_come_back(source: str) -> bool:
    """Whether a source that failed may be there a moment later: a camera or a stream; no file mends itself."""
    return is_network_address(source) or camera_index(source) is not None or source.startswith("/dev/")


def _reduced(frame: Frame) -> tuple[npt.NDArray[np.uint8], Detections | None, bool]:
    """The picture and its truth, made smaller when it has more than FRAME_PIXELS pixels."""
    width, height = frame.size_wh
    if width * height <= FRAME_PIXELS:
        return frame.image_hwc_bgr, frame.truth, False
    scale = math.sqrt(FRAME_PIXELS / (width * height))
    size_wh = (int(width * scale), int(height * scale))
    image = np.asarray(cv2.resize(frame.image_hwc_bgr, size_wh, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    truth = frame.truth
    if truth is not None:
        factors = np.array([size_wh[0] / width, size_wh[1] / height] * 2, dtype=np.float32)
        truth = Detections(boxes_xyxy=truth.boxes_xyxy * factors, confidence=truth.confidence, class_id=truth.class_id)
    return image, truth, True
