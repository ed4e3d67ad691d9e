"""Pictures from decode processes: sizes, slots that come back, and each with the result of its own moment."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from photofinish.client.cameras.recording.pictures import HeldPicture, Pairs, PictureSlots
from photofinish.letterbox import Letterbox
from tests.client.cameras.recording.held import PERIOD_NS, HoldingWriter, grey_of, result_at


class Picture:
    """One of a moment, and whether it was released."""

    def __init__(self, number: int, camera: str = "door") -> None:
        self.is_free = False
        letterbox = Letterbox(source_wh=(2, 2), target_wh=(2, 2))
        held = HeldPicture(camera, number * PERIOD_NS, np.zeros((2, 2, 3), np.uint8), letterbox)
        self.held = held.lies_in(self._free)

    def _free(self) -> None:
        self.is_free = True


@pytest.mark.parametrize(
    ("source_wh", "found_wh"),
    [((640, 360), (640, 360)), ((641, 361), (640, 360)), ((3840, 2160), (1280, 720)), ((1080, 1920), (404, 720))],
)
def test_pictures_come_at_their_own_size_or_fitting(source_wh: tuple[int, int], found_wh: tuple[int, int]) -> None:
    writer, got = HoldingWriter(source_wh), list[HeldPicture | None]()

    async def ask() -> None:
        slots = PictureSlots(lambda: writer, 1, (1280, 720))
        assert slots.ask("door", source_wh, got.append)
        await asyncio.sleep(0)
        slots.close()

    asyncio.run(ask())
    assert got[0] is not None
    image = got[0].image_hwc_rgb
    assert (image.shape[1], image.shape[0]) == found_wh
    middle = image[image.shape[0] // 2, image.shape[1] // 2]
    assert middle.tolist() == [grey_of(0)] * 3


def test_a_slot_is_taken_until_its_picture_is_released_and_none_is_lost() -> None:
    writer, got = HoldingWriter(), list[HeldPicture | None]()

    async def ask() -> None:
        slots = PictureSlots(lambda: writer, 2)
        assert slots.ask("a", (640, 360), got.append)
        assert slots.ask("b", (640, 360), got.append)
        assert not slots.ask("c", (640, 360), got.append)
        await asyncio.sleep(0)
        assert got[0] is not None
        got[0].release()
        got[0].release()
        assert slots.ask("c", (640, 360), got.append)
        assert not slots.ask("d", (640, 360), got.append)
        writer.number = None
        await asyncio.sleep(0)
        assert got[1] is not None
        got[1].release()
        for _ in range(5):
            assert slots.ask("d", (640, 360), got.append)
            await asyncio.sleep(0)
            assert got[-1] is None
        slots.close()
        assert not slots.ask("d", (640, 360), got.append)

    asyncio.run(ask())


def test_a_picture_goes_with_the_result_of_its_moment() -> None:
    pairs, picture = Pairs(), Picture(3)
    assert pairs.with_result(result_at(3)) is None
    found = pairs.with_picture(picture.held)
    assert found is not None
    assert found.tick == 3
    assert not picture.is_free


def test_a_newer_picture_waits_for_its_result_and_the_one_behind_it_does_not_take_its_place() -> None:
    pairs, picture, later = Pairs(), Picture(5), Picture(6)
    pairs.with_result(result_at(3))
    assert pairs.with_picture(picture.held) is None
    assert pairs.with_result(result_at(4)) is None
    assert pairs.with_picture(later.held) is None
    assert (later.is_free, picture.is_free, pairs.unpaired) == (True, False, 1)
    assert pairs.with_result(result_at(5)) is picture.held


def test_a_picture_whose_frame_was_never_inferred_is_released() -> None:
    pairs, early, late = Pairs(), Picture(2), Picture(4)
    pairs.with_result(result_at(3))
    assert pairs.with_picture(early.held) is None
    assert pairs.with_picture(late.held) is None
    assert pairs.with_result(result_at(5)) is None
    assert (early.is_free, late.is_free, pairs.unpaired) == (True, True, 2)


def test_cameras_do_not_mix_and_one_that_goes_leaves_nothing() -> None:
    pairs, picture = Pairs(), Picture(3, "gate")
    assert pairs.with_picture(picture.held) is None
    assert pairs.with_result(result_at(3, "door")) is None
    pairs.forget("gate")
    assert picture.is_free
    assert pairs.with_result(result_at(3, "gate")) is None
