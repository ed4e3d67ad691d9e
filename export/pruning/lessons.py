"""Pictures to learn from, in batches: cut to what they show, varied, read ahead by threads."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from photofinish.letterbox import PAD_VALUE, images_nchw_from_frames, letterboxed_from_image
from photofinish.pictures import image_from_file

MEASURED_BATCHES = 2
COARSEST_STRIDE = 64
"""Sides are multiples of it: no detector that can be pruned has a coarser grid."""
_ZOOM, _SHIFT = 0.25, 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Lessons:
    """The pictures, and the side of the square that the network is served with. seed: of order and augmentation."""

    pictures: Sequence[Path]
    side: int
    batch_size: int
    seed: int = 0
    threads: int = 2

    def as_served(self, count: int) -> Iterator[torch.Tensor]:
        """Batches of at most `count` pictures spread over all, letterboxed as they are: (n, 3, side, side)."""
        wanted = min(len(self.pictures), count * MEASURED_BATCHES)
        chosen = [self.pictures[index * len(self.pictures) // wanted] for index in range(wanted)]
        for begin in range(0, wanted, count):
            images = [image_from_file(path) for path in chosen[begin : begin + count]]
            yield _tensor_from([_boxed(image, (self.side, self.side)) for image in images])

    def batches(self, steps: int) -> Iterator[torch.Tensor]:
        """`steps` batches of varied pictures without their grey bars: (batch_size, 3, height, width), 0..1.

        A picture of 16:9 fills 60 % of the square; the rest would cost as much and teach nothing.
        """
        rng = np.random.default_rng(self.seed)
        order: list[int] = []

        def batch(pool: ThreadPoolExecutor) -> list[Any]:
            while len(order) < self.batch_size:
                order.extend(rng.permutation(len(self.pictures)).tolist())
            chosen = [order.pop(0) for _ in range(self.batch_size)]
            return [
                pool.submit(_varied, self.pictures[index], self.side, int(rng.integers(1 << 31))) for index in chosen
            ]

        with ThreadPoolExecutor(self.threads) as pool:
            ahead = [batch(pool) for _ in range(min(2, steps))]
            try:
                for _ in range(steps):
                    pictures = [future.result() for future in ahead.pop(0)]
                    ahead.append(batch(pool))
                    yield _tensor_from(pictures)
            finally:
                pool.shutdown(wait=True, cancel_futures=True)


def strip_wh(image_wh: tuple[int, int], side: int) -> tuple[int, int]:
    """The smallest rectangle of the square that holds the picture as it is served, in whole cells of the grid."""
    longest = max(image_wh)
    width, height = (
        min(side, math.ceil(length * side / longest / COARSEST_STRIDE) * COARSEST_STRIDE) for length in image_wh
    )
    return width, height


def _varied(path: Path, side: int, seed: int) -> npt.NDArray[np.uint8]:
    """The letterboxed picture, zoomed, shifted, mirrored and of another brightness."""
    rng = np.random.default_rng(seed)
    image = image_from_file(path)
    width, height = strip_wh((image.shape[1], image.shape[0]), side)
    image = _boxed(image, (width, height))
    zoom = 1 + rng.uniform(-_ZOOM, _ZOOM)
    moved = [length * ((1 - zoom) / 2 + rng.uniform(-_SHIFT, _SHIFT)) for length in (width, height)]
    matrix = np.array([[zoom, 0, moved[0]], [0, zoom, moved[1]]])
    image = np.asarray(cv2.warpAffine(image, matrix, (width, height), borderValue=(PAD_VALUE,) * 3), np.uint8)
    if rng.random() < 0.5:
        image = image[:, ::-1]
    return np.asarray(np.clip(image * rng.uniform(0.75, 1.25), 0, 255), np.uint8)


def _boxed(image_bgr: npt.NDArray[np.uint8], size_wh: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """The picture as the model's input takes it, RGB."""
    return letterboxed_from_image(image_bgr, size_wh, swap_channels=True)[0]


def _tensor_from(frames: Sequence[npt.NDArray[np.uint8]]) -> torch.Tensor:
    """One batch; pictures smaller than the largest get grey at their right and bottom."""
    height, width = (max(frame.shape[axis] for frame in frames) for axis in (0, 1))
    whole = np.full((len(frames), height, width, 3), PAD_VALUE, np.uint8)
    for target, frame in zip(whole, frames, strict=True):
        target[: frame.shape[0], : frame.shape[1]] = frame
    return torch.from_numpy(images_nchw_from_frames(whole))
