"""Resize with the aspect kept, pad to the model's size, and the way back for boxes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

PAD_VALUE = 114
"""Grey level of the padding; what Ultralytics models are trained with."""

Resize = Callable[[npt.NDArray[np.uint8], npt.NDArray[np.uint8]], bool]
"""Writes a picture, (height, width, 3) uint8, into the second in that one's size, with red and blue exchanged.

False where it cannot, for their layout; then nothing was written.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letterbox:
    """How a source picture lies inside the model's input.

    All sizes are (width, height) in pixels; the padding is split evenly, an odd pixel goes right and down,
    with the same rounding as Ultralytics' LetterBox, so that both see the same pixels.
    """

    source_wh: tuple[int, int]
    target_wh: tuple[int, int]
    scale: float = field(init=False, compare=False, repr=False)
    """Target pixels per source pixel."""
    resized_wh: tuple[int, int] = field(init=False, compare=False, repr=False)
    """Size of the picture itself inside the target, without padding."""
    offset_xy: tuple[int, int] = field(init=False, compare=False, repr=False)
    """Left and top padding in target pixels."""

    def __post_init__(self) -> None:
        """Raise ValueError unless all sizes are positive."""
        if min(*self.source_wh, *self.target_wh) < 1:
            raise ValueError(
                f"letterbox sizes must be positive, got source {self.source_wh} and target {self.target_wh}"
            )

        scale = min(self.target_wh[0] / self.source_wh[0], self.target_wh[1] / self.source_wh[1])
        width, height = (max(round(side * scale), 1) for side in self.source_wh)
        left, top = (round((self.target_wh[0] - width) / 2 - 0.1), round((self.target_wh[1] - height) / 2 - 0.1))
        object.__setattr__(self, "scale", scale)
        object.__setattr__(self, "resized_wh", (width, height))
        object.__setattr__(self, "offset_xy", (left, top))

    def boxes_to_target(self, boxes_xyxy: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Boxes (n, 4) from source pixels to letterboxed pixels."""
        offset = np.array(self.offset_xy * 2, dtype=np.float32)
        scaled: npt.NDArray[np.float32] = boxes_xyxy * np.float32(self.scale) + offset
        return scaled

    def boxes_to_source(self, boxes_xyxy: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Boxes (n, 4) from letterboxed pixels to source pixels, clipped to the picture."""
        offset = np.array(self.offset_xy * 2, dtype=np.float32)
        boxes = (boxes_xyxy - offset) / np.float32(self.scale)
        limit = np.array(self.source_wh * 2, dtype=np.float32)
        clipped: npt.NDArray[np.float32] = np.minimum(np.maximum(boxes, np.float32(0)), limit)
        return clipped

    def points_to_target(self, points_xy: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Points (…, 2) from source pixels to letterboxed pixels."""
        scaled: npt.NDArray[np.float32] = points_xy * np.float32(self.scale) + np.array(self.offset_xy, np.float32)
        return scaled

    def points_to_source(self, points_xy: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Points (…, 2) from letterboxed pixels to source pixels. Not clipped: they may lie outside the picture."""
        scaled: npt.NDArray[np.float32] = (points_xy - np.array(self.offset_xy, np.float32)) / np.float32(self.scale)
        return scaled


@lru_cache(maxsize=256)
def letterbox_of(source_wh: tuple[int, int], target_wh: tuple[int, int]) -> Letterbox:
    """The letterbox of these sizes, the same one each time. Raises ValueError unless all are positive."""
    return Letterbox(source_wh=source_wh, target_wh=target_wh)


def is_smaller_than_in_square(source_wh: tuple[int, int], input_wh: tuple[int, int]) -> bool:
    """Whether a picture of `source_wh` becomes smaller in an input of `input_wh` than in the square on its longer side.

    That is so where the two have different shapes; then small objects are lost that the square would show.
    """
    side = max(input_wh)
    square = Letterbox(source_wh=source_wh, target_wh=(side, side))
    return Letterbox(source_wh=source_wh, target_wh=input_wh).scale < 0.99 * square.scale


def letterbox_from_image(image_hwc: npt.NDArray[np.uint8], target_wh: tuple[int, int]) -> Letterbox:
    """The letterbox that fits this picture into `target_wh` (width, height)."""
    height, width = image_hwc.shape[:2]
    return _known_letterbox((width, height), target_wh)


@lru_cache(maxsize=64)
def _known_letterbox(source_wh: tuple[int, int], target_wh: tuple[int, int]) -> Letterbox:
    """A camera's pictures have one size: their letterbox is worked out once."""
    return Letterbox(source_wh=source_wh, target_wh=target_wh)


def write_letterboxed(
    image_hwc: npt.NDArray[np.uint8],
    letterbox: Letterbox,
    out_hwc: npt.NDArray[np.uint8],
    *,
    swap_channels: bool = False,
    resize: Resize | None = None,
    is_padded: bool = False,
) -> None:
    """Draw the picture, resized and padded, into `out_hwc` (target height, target width, 3) uint8.

    swap_channels writes RGB from BGR (and the reverse) in the same pass. `out_hwc` may be a view of shared memory.
    resize: tried before OpenCV where channels are swapped. is_padded: the padding of this very letterbox is there.
    """
    target_w, target_h = letterbox.target_wh
    if out_hwc.shape != (target_h, target_w, 3) or out_hwc.dtype != np.uint8:
        raise ValueError(
            f"out_hwc must be uint8 with shape {(target_h, target_w, 3)}, "
            f"got {out_hwc.dtype} with shape {out_hwc.shape}"
        )
    resized_w, resized_h = letterbox.resized_wh
    left, top = letterbox.offset_xy
    if not is_padded:
        out_hwc[:top] = PAD_VALUE
        out_hwc[top + resized_h :] = PAD_VALUE
        out_hwc[top : top + resized_h, :left] = PAD_VALUE
        out_hwc[top : top + resized_h, left + resized_w :] = PAD_VALUE
    inside = out_hwc[top : top + resized_h, left : left + resized_w]
    if swap_channels and resize is not None and resize(image_hwc, inside):
        return
    if letterbox.source_wh != letterbox.resized_wh:
        _in_place(cv2.resize(image_hwc, letterbox.resized_wh, inside, interpolation=cv2.INTER_LINEAR), inside)
        if swap_channels:
            _in_place(cv2.cvtColor(inside, cv2.COLOR_BGR2RGB, inside), inside)
    elif swap_channels:
        _in_place(cv2.cvtColor(image_hwc, cv2.COLOR_BGR2RGB, inside), inside)
    else:
        inside[...] = image_hwc


def _in_place(result: npt.ArrayLike, out_hwc: npt.NDArray[np.uint8]) -> None:
    """Copy where OpenCV could not write into `out_hwc` itself; a fresh array per picture costs more than resizing."""
    if result is not out_hwc:
        out_hwc[...] = result


def letterboxed_from_image(
    image_hwc: npt.NDArray[np.uint8], target_wh: tuple[int, int], *, swap_channels: bool = False
) -> tuple[npt.NDArray[np.uint8], Letterbox]:
    """A new letterboxed picture (target height, target width, 3) uint8, and its letterbox."""
    letterbox = letterbox_from_image(image_hwc, target_wh)
    out = np.empty((target_wh[1], target_wh[0], 3), dtype=np.uint8)
    write_letterboxed(image_hwc, letterbox, out, swap_channels=swap_channels)
    return out, letterbox


def images_nchw_from_frames(frames_nhwc: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """What the tensor contract sends for letterboxed frames (n, height, width, 3): (n, 3, height, width) in 0..1."""
    return np.ascontiguousarray(frames_nhwc.transpose(0, 3, 1, 2).astype(np.float32) / 255)
