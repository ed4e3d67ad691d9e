"""Pictures to learn from: without their grey bars, and mixed shapes in one batch."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from photofinish.export.pruning.lessons import Lessons, strip_wh


@pytest.mark.parametrize(
    ("image_wh", "side", "wanted"),
    [
        ((1280, 720), 640, (640, 384)),
        ((720, 1280), 640, (384, 640)),
        ((640, 640), 640, (640, 640)),
        ((1280, 720), 480, (480, 320)),
        ((1000, 10), 64, (64, 64)),
    ],
)
def test_the_strip_holds_the_picture_in_whole_cells(
    image_wh: tuple[int, int], side: int, wanted: tuple[int, int]
) -> None:
    assert strip_wh(image_wh, side) == wanted


def test_batches_are_strips_to_learn_from_and_squares_to_measure(street_pictures: tuple[Path, ...]) -> None:
    lessons = Lessons(pictures=street_pictures, side=128, batch_size=3)
    first, second = lessons.batches(2)
    assert first.shape == second.shape == (3, 3, 128, 128)
    wide = Lessons(pictures=street_pictures, side=256, batch_size=3)
    assert next(wide.batches(1)).shape == (3, 3, 192, 256)
    assert [tuple(batch.shape) for batch in wide.as_served(4)] == [(4, 3, 256, 256), (4, 3, 256, 256)]
    assert torch.equal(next(wide.batches(1)), next(wide.batches(1))), "one seed, one order"


def test_a_batch_of_mixed_shapes_is_filled_with_grey(tmp_path: Path) -> None:
    for index, shape in enumerate(((64, 128, 3), (128, 64, 3))):
        cv2.imwrite(str(tmp_path / f"{index}.png"), np.zeros(shape, np.uint8))
    lessons = Lessons(pictures=sorted(tmp_path.iterdir()), side=128, batch_size=2)
    batch = next(lessons.batches(1))
    assert batch.shape == (2, 3, 128, 128)
    grey = {round(float(picture[:, -1, -1].mean()) * 255) for picture in batch}
    assert grey == {114}
