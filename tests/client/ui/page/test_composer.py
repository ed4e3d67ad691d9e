from __future__ import annotations

import cv2
import numpy as np
import pytest

from photofinish.client.ui.page.composer import (
    ACCENTS_BGR,
    LAYOUTS,
    Composer,
    FrameHub,
    Layout,
    finish_line,
    finish_strip,
)
from photofinish.client.ui.processes.board import Board, BoardMemory
from photofinish.client.ui.processes.scribe import PANEL_WH
from photofinish.client.ui.processes.side import SIDES, Side
from photofinish.client.ui.processes.slots import PictureMemory, PictureReader, PictureWriter
from tests.client.fake_triton import wait_for


def test_strip_has_one_tick_per_frame() -> None:
    now_ns = 10_000_000_000
    finished_ns = np.array([now_ns - 1_000_000_000, now_ns - 3_000_000_000, now_ns - 9_000_000_000])
    strip = finish_strip(finished_ns, now_ns, (1, 2, 3))
    ticks = np.flatnonzero((strip[7] == (1, 2, 3)).all(axis=1))
    assert ticks.tolist() == [158, 159, 478, 479]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_both_panels_and_the_line_make_one_picture(layout: Layout) -> None:
    memories = {side: PictureMemory(max_pixels=PANEL_WH[0] * PANEL_WH[1]) for side in SIDES}
    readers = {side: PictureReader(memory) for side, memory in memories.items()}
    boards = {side: Board(BoardMemory()) for side in SIDES}
    hub = FrameHub()

    def is_live(side: Side) -> bool:
        return side == "optimised"

    for value, side in ((100, "baseline"), (200, "optimised")):
        image = np.full((PANEL_WH[1], PANEL_WH[0], 3), value, np.uint8)
        PictureWriter(memories[side]).write(image, index=0, captured_ns=0)  # type: ignore[index]
    with hub.viewing(layout), Composer(readers, boards, hub, is_live=is_live):
        wait_for(lambda: hub.newest(layout)[0] > 0)
    picture = cv2.imdecode(np.frombuffer(hub.newest(layout)[1], np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == ((374, 1296, 3) if layout == "wide" else (764, 640, 3))
    assert picture[100, 100].tolist() == pytest.approx([30] * 3, abs=3), "a panel that stands still is dimmed"
    right = picture[100, 1000] if layout == "wide" else picture[600, 100]
    assert right.tolist() == pytest.approx([200] * 3, abs=3)


def test_nothing_is_encoded_for_nobody() -> None:
    memories = {side: PictureMemory(max_pixels=PANEL_WH[0] * PANEL_WH[1]) for side in SIDES}
    readers = {side: PictureReader(memory) for side, memory in memories.items()}
    hub = FrameHub()
    with Composer(readers, {side: Board(BoardMemory()) for side in SIDES}, hub, is_live=lambda side: True):
        with hub.viewing("tall"):
            wait_for(lambda: hub.newest("tall")[0] > 0)
            wait_for(lambda: all(PictureWriter(memory).is_watched for memory in memories.values()))
        wait_for(lambda: not any(PictureWriter(memory).is_watched for memory in memories.values()))
    assert hub.newest("wide") == (0, b"")
    assert hub.viewers("tall") == 0


def test_line_is_chequered_and_accents_differ() -> None:
    line = finish_line("wide")
    assert line.shape == (374, 16, 3)
    assert line[0, 0, 0] != line[0, 8, 0] != line[8, 8, 0]
    assert ACCENTS_BGR["baseline"] != ACCENTS_BGR["optimised"]
