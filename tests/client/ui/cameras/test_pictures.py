"""Pictures for the page, from a decode process that is not there: a function that writes as one would."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import cv2
import numpy as np
import pytest

from photofinish.client.cameras.decode.writing import RegionMaps
from photofinish.client.cameras.endpoint.board import CellBoard
from photofinish.client.cameras.values.outcome import DueFrame
from photofinish.client.cameras.wire.messages import FrameWritten, WriteFrame
from photofinish.client.ui.cameras import pictures
from photofinish.client.ui.cameras.pictures import AT_ONCE, PictureTaker, SmallPicture, dimmed, with_boxes
from photofinish.client.ui.cameras.show import CameraShow, PictureHub, oldest_s, stream_of_camera
from photofinish.letterbox import Letterbox
from tests.client.cameras.endpoint.statuses import camera_status, cell_status, dead_camera, inferred

BLUE_BGR = (200, 30, 10)


class Decoder:
    """A FrameWriter: `door` is blue, `yard` has no picture, `hangs` answers when it is let."""

    def __init__(self) -> None:
        self.maps = RegionMaps()
        self.asked: list[WriteFrame] = []
        self.waiting: list[asyncio.Future[FrameWritten]] = []

    def ask(self, wish: WriteFrame) -> asyncio.Future[FrameWritten]:
        self.asked.append(wish)
        future: asyncio.Future[FrameWritten] = asyncio.get_running_loop().create_future()
        if wish.camera == "hangs":
            self.waiting.append(future)
            return future
        frame = None
        if wish.camera == "door":
            self.maps.array(wish.region, wish.shape, wish.datatype)[wish.position] = BLUE_BGR[::-1]
            frame = DueFrame(
                camera="door", sequence=1, captured_ns=0, arrived_ns=0, decoded_ns=0, clock="rtcp", size_wh=(640, 360)
            )
        letterbox = Letterbox(source_wh=(640, 360), target_wh=wish.input_wh)
        future.set_result(FrameWritten(request=wish.request, camera=wish.camera, frame=frame, letterbox=letterbox))
        return future


def test_a_picture_is_the_cameras_and_has_its_colours() -> None:
    async def main() -> tuple[SmallPicture | None, SmallPicture | None]:
        taker = PictureTaker(Decoder(), (64, 36))
        try:
            return await taker.take("door"), await taker.take("yard")
        finally:
            taker.close()

    door, yard = asyncio.run(main())
    assert yard is None
    assert door is not None
    assert door.image_hwc_bgr.shape == (36, 64, 3)
    assert tuple(door.image_hwc_bgr[0, 0]) == BLUE_BGR


def test_memory_of_a_picture_that_is_late_is_not_given_to_another_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "TIMEOUT_S", 0.01)

    async def main() -> None:
        decoder = Decoder()
        taker = PictureTaker(decoder, (64, 36))
        for _ in range(AT_ONCE - 1):
            assert await taker.take("hangs") is None
        for _ in range(3):
            assert await taker.take("door") is not None
        late = {wish.position for wish in decoder.asked if wish.camera == "hangs"}
        assert len(late) == AT_ONCE - 1
        assert not late & {wish.position for wish in decoder.asked if wish.camera == "door"}
        assert await taker.take("hangs") is None
        assert await taker.take("door") is None  # nothing is free
        for future in decoder.waiting:
            future.set_result(FrameWritten(request=0, camera="hangs", frame=None))
        await asyncio.sleep(0)
        assert await taker.take("door") is not None
        taker.close()

    asyncio.run(main())


def small_picture() -> SmallPicture:
    letterbox = Letterbox(source_wh=(640, 360), target_wh=(320, 180))
    return SmallPicture(image_hwc_bgr=np.zeros((180, 320, 3), np.uint8), letterbox=letterbox, captured_ns=0)


def test_boxes_lie_where_the_picture_has_them() -> None:
    picture = small_picture()
    drawn = with_boxes(picture, inferred(), has_labels=False)
    rows, columns = np.nonzero(drawn.any(axis=2))
    assert (columns.min(), rows.min(), columns.max(), rows.max()) == pytest.approx((50, 50, 150, 150), abs=2)
    assert with_boxes(picture, inferred(), has_labels=True).any()
    assert not picture.image_hwc_bgr.any()


def test_boxes_of_a_picture_of_another_size_and_none_are_not_drawn() -> None:
    picture = small_picture()
    for result in (None, inferred(boxes=0), replace(inferred(), size_wh=(1280, 720))):
        assert not with_boxes(picture, result, has_labels=True).any()
    assert dimmed(np.full((2, 2, 3), 100, np.uint8)).max() == 35


def test_only_what_somebody_looks_at_is_asked_for() -> None:
    async def main() -> None:
        decoder, board = Decoder(), CellBoard()
        show = CameraShow(decoder, board)
        board.on_status(cell_status(camera_status("door"), dead_camera("yard")))
        running = asyncio.ensure_future(show.run())
        await asyncio.sleep(0.2)
        assert not decoder.asked
        with show.hub.viewing("wide"):
            await _until(lambda: show.hub.newest("wide")[0] >= 2)
            assert {wish.camera for wish in decoder.asked} == {"door", "yard"}
            assert show.hub.newest("tall") == (0, b"")
            image = cv2.imdecode(np.frombuffer(show.hub.newest("wide")[1], np.uint8), cv2.IMREAD_COLOR)
            assert image is not None
            assert image[100, 100, 0] > image[100, 100, 2] + 30
        stream = stream_of_camera("door")
        with show.hub.viewing(stream):
            decoder.asked.clear()
            await _until(lambda: show.hub.newest(stream)[0] >= 1)
            assert {wish.camera for wish in decoder.asked} == {"door"}
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(main())


async def _until(holds: object) -> None:
    assert callable(holds)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + 60
    while not holds():
        assert loop.time() < deadline
        await asyncio.sleep(0.01)


def test_a_picture_of_a_slow_camera_is_not_old_while_the_next_is_not_due() -> None:
    assert oldest_s(camera_status(wanted_fps=5.0)) == 5
    assert oldest_s(camera_status(wanted_fps=0.5)) == 6
    assert oldest_s(camera_status(wanted_fps=0.5, step="halved")) == 12


def test_a_stream_that_nobody_looks_at_keeps_no_picture() -> None:
    hub = PictureHub()
    hub.publish("wide", b"unseen")
    with hub.viewing("wide"), hub.viewing("wide"):
        assert hub.newest("wide") == (0, b"")
        hub.publish("wide", b"seen")
        assert hub.newest("wide") == (1, b"seen")
        assert hub.watched() == {"wide"}
    assert hub.watched() == frozenset()
    assert hub.newest("wide") == (0, b"")
