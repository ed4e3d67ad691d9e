"""One image of one stream."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from photofinish.detections import Detections


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One picture as a camera gave it.

    image_hwc_bgr: (height, width, 3) uint8, blue first, as OpenCV reads it.
    index counts from 0 within its stream; captured_ns is perf_counter_ns when the picture was there.
    presented_ns: when its recording shows it, from its first picture on; None where its source has no such times.
    truth: exact objects in this frame where the source knows them (the synthetic camera), else None.
    """

    image_hwc_bgr: npt.NDArray[np.uint8]
    stream_id: str
    index: int
    captured_ns: int
    presented_ns: int | None = None
    truth: Detections | None = None

    def __post_init__(self) -> None:
        """Raise ValueError unless the image is (height, width, 3) uint8."""
        image = self.image_hwc_bgr
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
            raise ValueError(
                f"image_hwc_bgr must be uint8 with shape (height, width, 3), got {image.dtype} with shape {image.shape}"
            )

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels."""
        height, width = self.image_hwc_bgr.shape[:2]
        return width, height
