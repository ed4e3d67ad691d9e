"""A simple picture generator: coloured shapes that move."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

SHAPE_COUNT = 12


def image_from_index(index: int, *, seed: int, size_wh: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """The picture of a frame index (height, width, 3): the same for the same seed, index and size."""
    width, height = size_wh
    random = np.random.default_rng(seed)
    ramp = np.linspace(60, 160, height, dtype=np.uint8)[:, None]
    image = np.repeat(np.repeat(ramp, width, axis=1)[:, :, None], 3, axis=2)
    for _ in range(SHAPE_COUNT):
        start_xy, speed_xy = random.uniform(0, 1, 2), random.uniform(-0.01, 0.01, 2)
        x, y = (start_xy + speed_xy * index) % 1 * (width, height)
        side = int(random.uniform(0.04, 0.12) * min(size_wh))
        colour = tuple(int(part) for part in random.integers(40, 255, 3))
        cv2.rectangle(image, (int(x) - side, int(y) - side), (int(x) + side, int(y) + side), colour, cv2.FILLED)
    return image
