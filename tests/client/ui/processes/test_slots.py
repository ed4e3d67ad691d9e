from __future__ import annotations

import multiprocessing

import numpy as np
import pytest

from photofinish.client.ui.processes.slots import PictureMemory, PictureReader, PictureWriter
from photofinish.detections import empty_detections
from tests.builders import build_detections


def picture(value: int, size_wh: tuple[int, int] = (8, 6)) -> np.ndarray:
    return np.full((size_wh[1], size_wh[0], 3), value, dtype=np.uint8)


def test_reads_the_newest_picture_only() -> None:
    memory = PictureMemory(max_pixels=48)
    writer, reader = PictureWriter(memory), PictureReader(memory)
    assert reader.read() is None
    for index in range(7):
        writer.write(picture(index), index=index, captured_ns=index * 10)
    read = reader.read()
    assert read is not None
    assert (read.sequence, read.index, read.captured_ns) == (7, 6, 60)
    assert (read.image_hwc_bgr == 6).all()
    assert read.truth is None
    assert reader.read(after=read.sequence) is None


def test_size_may_change_and_too_large_is_refused() -> None:
    memory = PictureMemory(max_pixels=48)
    writer, reader = PictureWriter(memory), PictureReader(memory)
    writer.write(picture(1, (4, 12)), index=0, captured_ns=0)
    read = reader.read()
    assert read is not None
    assert read.image_hwc_bgr.shape == (12, 4, 3)
    with pytest.raises(ValueError, match="at most 48 pixels"):
        writer.write(picture(1, (7, 7)), index=0, captured_ns=0)


@pytest.mark.parametrize("truth", [build_detections([(1, 2, 3, 4, 1.0, 5), (0, 0, 2, 2, 1.0, 1)]), empty_detections()])
def test_truth_travels_along(truth) -> None:  # type: ignore[no-untyped-def]
    memory = PictureMemory(max_pixels=48)
    PictureWriter(memory).write(picture(1), index=0, captured_ns=0, truth=truth)
    read = PictureReader(memory).read()
    assert read is not None
    assert read.truth is not None
    assert (read.truth.boxes_xyxy == truth.boxes_xyxy).all()
    assert read.truth.class_id.tolist() == truth.class_id.tolist()


def test_taken_by_either_reader() -> None:
    memory = PictureMemory(max_pixels=48)
    writer = PictureWriter(memory)
    assert writer.is_taken()
    writer.write(picture(1), index=0, captured_ns=0)
    assert not writer.is_taken()
    assert PictureReader(memory, reader=1).read() is not None
    assert writer.is_taken()
    memory.forget()
    assert PictureReader(memory).newest == 0


def test_a_writer_that_died_half_way_is_forgotten() -> None:
    memory = PictureMemory(max_pixels=48)
    writer, reader = PictureWriter(memory), PictureReader(memory)
    writer.write(picture(1), index=0, captured_ns=0)
    writer.headers[2]["version"] = 1  # the slot of the next picture, as a killed process leaves it
    read = reader.read()
    assert read is not None
    assert read.index == 0
    PictureWriter(memory).write(picture(2), index=1, captured_ns=0)
    read = reader.read(after=1)
    assert read is not None
    assert (read.image_hwc_bgr == 2).all()


def hammer(memory: PictureMemory, count: int) -> None:
    writer = PictureWriter(memory)
    for index in range(count):
        writer.write(picture(index % 256, (320, 180)), index=index, captured_ns=index)


def test_no_picture_is_ever_torn() -> None:
    memory = PictureMemory(max_pixels=320 * 180)
    process = multiprocessing.get_context("spawn").Process(target=hammer, args=(memory, 20_000))
    process.start()
    reader, seen, after = PictureReader(memory), 0, 0
    while process.is_alive() or reader.newest > after:
        read = reader.read(after=after)
        if read is not None:
            after = read.sequence
            seen += 1
            assert (read.image_hwc_bgr == read.index % 256).all()
    process.join()
    assert seen > 20


def test_on_demand_the_next_picture_is_asked_for_and_reading_does_not_ask() -> None:
    memory = PictureMemory(max_pixels=48)
    writer = PictureWriter(memory)
    assert not writer.is_on_demand
    reader = PictureReader(memory, reader=1, on_demand=True)
    assert writer.is_on_demand
    assert reader.newest_index == -1
    writer.write(picture(1), index=41, captured_ns=0)
    assert reader.read() is not None
    assert reader.newest_index == 41
    assert not writer.is_taken()
    reader.take()
    assert writer.is_taken()
    memory.forget()
    assert not writer.is_on_demand


def test_the_writer_hears_whether_somebody_watches() -> None:
    memory = PictureMemory(max_pixels=48)
    writer, reader = PictureWriter(memory), PictureReader(memory)
    assert not writer.is_watched
    reader.tell_watched(True)
    assert writer.is_watched
    reader.tell_watched(False)
    assert not writer.is_watched
