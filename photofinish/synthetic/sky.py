"""The sky of a town: a gradient, clouds and three rows of hills."""

from __future__ import annotations

import cv2
import numpy as np

from photofinish.synthetic.palette import bgr
from photofinish.synthetic.viewpoint import Pixels, View, fill_polygon

SKY_TOP, SKY_LOW = bgr("#8fbbe0"), bgr("#e6eef2")
HILLS = (bgr("#a9c0b0"), bgr("#8fae8f"), bgr("#7d9f78"))


def paint_sky(image: Pixels, view: View, seed: int) -> None:
    """Sky gradient, clouds and three rows of hills, down to the horizon."""
    rng = np.random.default_rng([seed, 5])
    width, height = view.size_wh
    horizon = view.horizon_px
    rows = int(np.clip(horizon + 2, 1, height))
    share = np.clip((np.arange(rows) - horizon + height * 0.45) / (height * 0.45), 0, 1)[:, None, None]
    clouds = np.zeros((rows, width), dtype=np.uint8)
    for _ in range(9):
        centre = (int(rng.uniform(0, width)), int(horizon - height * rng.uniform(0.05, 0.3)))
        for _ in range(4):
            at = (int(centre[0] + rng.normal(0, width * 0.03)), int(centre[1] + rng.normal(0, height * 0.006)))
            size = (int(width * rng.uniform(0.02, 0.05)), int(height * rng.uniform(0.006, 0.016)) + 1)
            cv2.ellipse(clouds, at, size, 0, 0, 360, 170, -1, cv2.LINE_AA)
    cover = (cv2.blur(clouds, (height // 80 + 1, height // 80 + 1)) / 255.0)[..., None]
    sky = np.array(SKY_TOP) * (1 - share) + np.array(SKY_LOW) * share
    image[:rows] = (sky * (1 - cover) + 250 * cover).astype(np.uint8)
    columns = np.arange(0, width + 8, 8)
    bearing = view.yaw_rad + np.arctan((columns - width / 2) / view.focal_px)
    for row, colour in enumerate(HILLS):
        waves = sum(
            np.sin(bearing * rate + rng.uniform(0, 7)) / (1 + index) for index, rate in enumerate((5.0, 11.0, 23.0))
        )
        rise = view.focal_px * (0.075 - 0.02 * row + 0.016 * np.asarray(waves))
        top = np.stack([columns, horizon - rise], axis=1)
        outline = np.concatenate([top, [[width + 8, height], [0, height]]])
        fill_polygon(image, outline, colour)
