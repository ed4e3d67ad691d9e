"""A decoder's picture is kept byte for byte, whether its planes lie behind each other or not."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from photofinish.client.cameras.decode.gpu.device import PlainSurface
from photofinish.client.cameras.decode.gpu.pictures import KeptPictures
from photofinish.client.cameras.decode.gpu.stand_in import StandIn, StandInLane


class CountingLane(StandInLane):
    """copies: of planes, so far."""

    copies = 0

    def copy_rows(self, *plane: int) -> None:
        self.copies += 1
        super().copy_rows(*plane)


@pytest.mark.parametrize(
    ("size_wh", "pitch", "gap", "copies"),
    [((64, 48), 64, 0, 1), ((64, 48), 96, 0, 1), ((64, 48), 64, 32, 2), ((63, 47), 64, 0, 2), ((64, 47), 64, 0, 1)],
)
def test_a_picture_is_copied_at_once_where_its_chroma_is_right_behind_its_luma(
    size_wh: tuple[int, int], pitch: int, gap: int, copies: int
) -> None:
    device = StandIn()
    lane = CountingLane(device)
    (width, height), rows = size_wh, (size_wh[1] + 1) // 2
    memory = np.random.default_rng(1).integers(0, 256, (height + rows) * pitch + gap, np.uint8)
    luma = int(memory.ctypes.data)
    chroma_at = height * pitch + gap
    surface = PlainSurface(
        luma=luma, chroma=luma + chroma_at, luma_pitch=pitch, chroma_pitch=pitch, size_wh=size_wh, number=7
    )
    kept = KeptPictures(device, lane).keep("door", surface)
    assert (kept.size_wh, kept.number, lane.copies) == (size_wh, 7, copies)
    found = np.frombuffer(ctypes.string_at(kept.luma, (height + rows) * kept.luma_pitch), np.uint8)
    found = found.reshape(height + rows, kept.luma_pitch)
    assert kept.chroma == kept.luma + height * kept.luma_pitch
    np.testing.assert_array_equal(found[:height, :width], memory[: height * pitch].reshape(height, pitch)[:, :width])
    chroma = memory[chroma_at : chroma_at + rows * pitch].reshape(rows, pitch)
    np.testing.assert_array_equal(found[height:], chroma[:, : kept.chroma_pitch])
