from __future__ import annotations

import numpy as np
import pytest

from photofinish.letterbox import PAD_VALUE, Letterbox, is_smaller_than_in_square, letterboxed_from_image


@pytest.mark.parametrize(
    ("source_wh", "resized_wh", "offset_xy"),
    [
        ((1280, 720), (640, 360), (0, 140)),
        ((720, 1280), (360, 640), (140, 0)),
        ((640, 640), (640, 640), (0, 0)),
        ((810, 1080), (480, 640), (80, 0)),
        ((768, 432), (640, 360), (0, 140)),
        ((1001, 333), (640, 213), (0, 213)),
        ((5000, 1), (640, 1), (0, 319)),
    ],
)
def test_the_picture_lies_centred(
    source_wh: tuple[int, int], resized_wh: tuple[int, int], offset_xy: tuple[int, int]
) -> None:
    letterbox = Letterbox(source_wh=source_wh, target_wh=(640, 640))
    assert letterbox.resized_wh == resized_wh
    assert letterbox.offset_xy == offset_xy


@pytest.mark.parametrize(
    ("source_wh", "is_smaller"),
    [
        ((1280, 720), False),
        ((1920, 1080), False),
        ((1920, 800), False),
        ((1270, 760), False),
        ((640, 480), True),
        ((720, 1280), True),
        ((640, 640), True),
    ],
)
def test_what_a_rectangular_input_shows_smaller(source_wh: tuple[int, int], is_smaller: bool) -> None:
    assert is_smaller_than_in_square(source_wh, (640, 384)) is is_smaller
    assert not is_smaller_than_in_square(source_wh, (640, 640))


@pytest.mark.parametrize("source_wh", [(1280, 720), (333, 1001), (64, 64), (37, 53)])
def test_boxes_come_back(source_wh: tuple[int, int]) -> None:
    letterbox = Letterbox(source_wh=source_wh, target_wh=(640, 640))
    boxes = np.array([[1, 2, 30, 40], [0, 0, *source_wh]], dtype=np.float32)
    returned = letterbox.boxes_to_source(letterbox.boxes_to_target(boxes))
    np.testing.assert_allclose(returned, boxes, atol=1e-3)
    assert returned.dtype == np.float32


def test_boxes_outside_are_clipped_to_the_picture() -> None:
    letterbox = Letterbox(source_wh=(100, 50), target_wh=(200, 200))
    boxes = np.array([[-50, -50, 400, 400]], dtype=np.float32)
    np.testing.assert_array_equal(letterbox.boxes_to_source(boxes), [[0, 0, 100, 50]])


def test_padding_is_grey_and_the_picture_is_kept() -> None:
    image = np.full((50, 100, 3), (10, 20, 30), dtype=np.uint8)
    out, letterbox = letterboxed_from_image(image, (100, 100))
    assert letterbox.offset_xy == (0, 25)
    assert (out[:25] == PAD_VALUE).all()
    assert (out[75:] == PAD_VALUE).all()
    assert (out[25:75] == (10, 20, 30)).all()


def test_channels_are_swapped_on_request() -> None:
    image = np.full((20, 20, 3), (1, 2, 3), dtype=np.uint8)
    out, _ = letterboxed_from_image(image, (10, 10), swap_channels=True)
    assert (out == (3, 2, 1)).all()


def test_wrong_target_array_is_named() -> None:
    from photofinish.letterbox import write_letterboxed

    image = np.zeros((20, 20, 3), dtype=np.uint8)
    letterbox = Letterbox(source_wh=(20, 20), target_wh=(10, 10))
    with pytest.raises(ValueError, match=r"must be uint8 with shape \(10, 10, 3\), got float32"):
        write_letterboxed(image, letterbox, np.zeros((10, 10, 3), dtype=np.float32))  # type: ignore[arg-type]


def test_empty_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="must be positive"):
        Letterbox(source_wh=(0, 10), target_wh=(10, 10))


def test_matches_ultralytics_pixel_for_pixel() -> None:
    augment = pytest.importorskip("ultralytics.data.augment")
    rng = np.random.default_rng(3)
    for size_wh in [(1280, 720), (333, 500), (641, 479), (640, 640)]:
        image = rng.integers(0, 256, (size_wh[1], size_wh[0], 3), dtype=np.uint8)
        theirs = augment.LetterBox(new_shape=(640, 640), auto=False)(image=image)
        ours, _ = letterboxed_from_image(image, (640, 640))
        np.testing.assert_array_equal(ours, theirs)
