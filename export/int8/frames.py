"""The frames on which INT8 is calibrated: a folder of pictures, or the synthetic camera for the demo detector."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from photofinish.errors import ConfigError, SourceError
from photofinish.letterbox import letterboxed_from_image
from photofinish.pictures import COLLECTED_FOLDER, image_from_file, image_paths_below
from photofinish.synthetic import SyntheticCamera

MIN_FRAMES = 16
MAX_FRAMES = 96
"""More frames move the ranges little and cost a second each on a small machine."""
HELD_OUT_EVERY = 6
"""Every sixth frame measures the layers and takes no part in the ranges."""
SYNTHETIC_SEEDS = (101, 102, 103, 104)
SYNTHETIC_STEP = 45
"""Frames between two that are taken from one camera: 1.5 s at 30 frames a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationFrames:
    """Letterboxed RGB frames: range_nhwc for the ranges, search_nhwc for measuring the layers; uint8.

    sha256: over all of them in order, as the model sees them.
    """

    origin: str
    range_nhwc: npt.NDArray[np.uint8]
    search_nhwc: npt.NDArray[np.uint8]
    sha256: str

    @property
    def count(self) -> int:
        """Number of frames in both parts."""
        return len(self.range_nhwc) + len(self.search_nhwc)


def frames_from_folder(folder: Path, input_wh: tuple[int, int]) -> CalibrationFrames:
    """The pictures of a folder (and its subfolders), at most MAX_FRAMES spread evenly over their names."""
    paths = picture_paths(folder)
    if len(paths) < MIN_FRAMES:
        raise ConfigError(
            f"--calibration {folder}: {len(paths)} pictures found, INT8 needs at least {MIN_FRAMES}; collect them with "
            f"`photofinish calibrate SOURCE --out {folder}`"
        )
    return _split([_letterboxed(path, input_wh) for path in spread(paths, MAX_FRAMES)], origin=folder.name)


def frames_from_synthetic(input_wh: tuple[int, int], *, count: int = MAX_FRAMES) -> CalibrationFrames:
    """Frames of the synthetic camera, from seeds that neither training nor the gate uses."""
    per_camera = -(-count // len(SYNTHETIC_SEEDS))
    pictures = []
    for seed in SYNTHETIC_SEEDS:
        camera = SyntheticCamera(seed=seed)
        for index in range(per_camera):
            image_hwc_bgr = camera.frame(index * SYNTHETIC_STEP).image_hwc_bgr
            pictures.append(letterboxed_from_image(image_hwc_bgr, input_wh, swap_channels=True)[0])
    return _split(pictures[:count], origin=f"synthetic camera, seeds {SYNTHETIC_SEEDS[0]} to {SYNTHETIC_SEEDS[-1]}")


def picture_paths(folder: Path) -> list[Path]:
    """All pictures in the folder and below, by name. ConfigError when it cannot be read."""
    if not folder.is_dir():
        raise ConfigError(
            f"--calibration {folder}: no such folder; `photofinish calibrate SOURCE --out {folder}` makes it"
        )
    collected = folder / COLLECTED_FOLDER
    try:
        return image_paths_below(collected if collected.is_dir() else folder)
    except OSError as exc:
        raise ConfigError(f"--calibration {folder}: cannot be read ({exc.strerror}); check its permissions") from exc


def spread(items: Sequence[Path], count: int) -> list[Path]:
    """At most `count` of the items, evenly spread, in order."""
    if len(items) <= count:
        return list(items)
    return [items[int((index + 0.5) * len(items) / count)] for index in range(count)]


def _letterboxed(path: Path, input_wh: tuple[int, int]) -> npt.NDArray[np.uint8]:
    try:
        image_hwc_bgr = image_from_file(path)
    except SourceError as exc:
        raise ConfigError(
            f"--calibration: {path} cannot be read as a picture; remove it from the folder ({exc})"
        ) from exc
    return letterboxed_from_image(image_hwc_bgr, input_wh, swap_channels=True)[0]


def _split(pictures: list[npt.NDArray[np.uint8]], *, origin: str) -> CalibrationFrames:
    frames = np.stack(pictures)
    held_out = np.arange(len(frames)) % HELD_OUT_EVERY == HELD_OUT_EVERY // 2
    return CalibrationFrames(
        origin=origin,
        range_nhwc=frames[~held_out],
        search_nhwc=frames[held_out],
        sha256=hashlib.sha256(frames.tobytes()).hexdigest(),
    )
