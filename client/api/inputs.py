"""A picture out of whatever a caller gives: a file, an array, a PIL image."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from photofinish.address.hiding import is_network_address, public_address
from photofinish.client.detect.naming import VIDEO_SUFFIXES
from photofinish.client.sources.pictures import picture_from_file
from photofinish.errors import SourceError

EXPECTED = (
    "expected a file's path, a BGR array (height, width, 3) of uint8 as OpenCV reads it, a PIL image, or a list of them"
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GivenPicture:
    """A decoded picture. name: the file's, or which one it is. path: where it can be read again, None for others."""

    name: str
    image_hwc_bgr: npt.NDArray[np.uint8]
    path: Path | None = None


def picture_from_input(given: Any, place: str) -> GivenPicture:
    """The picture that `given` is. place: what a message calls it where it has no name, such as `picture 3`.

    Raises SourceError for everything else, and for a file that is not a whole picture.
    """
    if isinstance(given, str | os.PathLike):
        return _from_path(os.fspath(given))
    if isinstance(given, np.ndarray):
        return GivenPicture(name=place, image_hwc_bgr=_checked(given, place))
    if _is_pil_image(given):
        rgb = np.asarray(given.convert("RGB"), dtype=np.uint8)
        return GivenPicture(name=_name_of(given) or place, image_hwc_bgr=np.ascontiguousarray(rgb[:, :, ::-1]))
    raise SourceError(f"{place} is of type {type(given).__name__}; {EXPECTED}")


def _from_path(text: str | bytes) -> GivenPicture:
    spec = os.fsdecode(text)
    path = Path(spec)
    if is_network_address(spec) or path.suffix.lower() in VIDEO_SUFFIXES or path.is_dir():
        raise SourceError(
            f"{public_address(spec)} is no single picture; go through it with `for found in detector.frames(…)`"
        )
    return GivenPicture(name=path.name, image_hwc_bgr=picture_from_file(path), path=path)


def _checked(array: npt.NDArray[Any], place: str) -> npt.NDArray[np.uint8]:
    if array.dtype == np.uint8 and array.ndim == 3 and array.shape[2] == 3 and 0 not in array.shape:
        return np.ascontiguousarray(array)
    raise SourceError(f"{place} is {array.dtype} with shape {array.shape}; {EXPECTED}{_remedy(array)}")


def _remedy(array: npt.NDArray[Any]) -> str:
    """What makes the usual other arrays fit."""
    if array.ndim == 4:
        return "; give a batch as a list of its pictures: `list(array)`"
    if array.dtype != np.uint8:
        return "; values 0 to 255: `array.astype('uint8')`, of 0 to 1 `(array * 255).astype('uint8')`"
    if array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 1):
        return "; of grey: `cv2.cvtColor(array, cv2.COLOR_GRAY2BGR)`"
    if array.ndim == 3 and array.shape[2] == 4:
        return "; with transparency: `cv2.cvtColor(array, cv2.COLOR_BGRA2BGR)`"
    return ""


def _is_pil_image(given: Any) -> bool:
    """Whether it is a PIL image. Nobody has one who has not loaded PIL, so that it need not be loaded here."""
    pil = sys.modules.get("PIL.Image")
    return pil is not None and isinstance(given, pil.Image)


def _name_of(image: Any) -> str:
    """The file's name where a PIL image was opened from one."""
    name = getattr(image, "filename", "")
    return Path(os.fsdecode(name)).name if isinstance(name, str | bytes | os.PathLike) and name else ""
