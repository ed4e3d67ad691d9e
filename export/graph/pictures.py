"""Real pictures on which artifacts are compared with their source."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from photofinish.errors import ExportError
from photofinish.letterbox import letterboxed_from_image

PICTURE_NAMES = ("bus.jpg", "zidane.jpg")


def reference_picture_paths() -> tuple[Path, ...]:
    """The photos that come with the ultralytics package."""
    spec = importlib.util.find_spec("ultralytics")
    if spec is None or not spec.submodule_search_locations:
        raise ExportError('export needs the ultralytics package; install it with `pip install "photofinish[export]"`')
    folder = Path(spec.submodule_search_locations[0]) / "assets"
    return tuple(folder / name for name in PICTURE_NAMES)


def frames_from_pictures(paths: Sequence[Path], input_wh: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """The pictures letterboxed, RGB: (n, height, width, 3) uint8."""
    frames = []
    for path in paths:
        image_hwc_bgr = cv2.imread(str(path))
        if image_hwc_bgr is None:
            raise ExportError(f"{path} cannot be read as a picture; reinstall ultralytics or pass other pictures")
        frames.append(letterboxed_from_image(image_hwc_bgr.astype(np.uint8), input_wh, swap_channels=True)[0])
    return np.stack(frames)


def images_from_frames_array(frames_nhwc: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """What a client of the tensor contract sends: (n, 3, height, width) float32 in 0..1."""
    return np.ascontiguousarray((frames_nhwc.astype(np.float32) / 255).transpose(0, 3, 1, 2))
