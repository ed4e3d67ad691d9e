"""From a frame to what a contract sends."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from photofinish.letterbox import Letterbox, letterbox_from_image, letterboxed_from_image, write_letterboxed


def write_input(
    image_hwc_bgr: npt.NDArray[np.uint8], contract: str, input_wh: tuple[int, int], out: npt.NDArray[Any]
) -> Letterbox:
    """Write one letterboxed RGB picture into `out`, as the contract lays it out, and give its letterbox.

    out: uint8 (height, width, 3) for frames; float32 or float16 (3, height, width), 0 to 1, for tensor.
    """
    letterbox = letterbox_from_image(image_hwc_bgr, input_wh)
    if contract == "frames":
        write_letterboxed(image_hwc_bgr, letterbox, out, swap_channels=True)
    else:
        pixels, _ = letterboxed_from_image(image_hwc_bgr, input_wh, swap_channels=True)
        np.divide(pixels.transpose(2, 0, 1), 255, out=out, casting="same_kind", dtype=np.float32)
    return letterbox
