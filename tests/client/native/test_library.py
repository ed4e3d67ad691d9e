"""The compiled code gives OpenCV's and numpy's very values, and writes nothing beside them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from photofinish.client.native import library as native
from photofinish.client.native.library import (
    Native,
    client_library,
    native_client,
    read_rows_from_library,
    resize_from_library,
)
from photofinish.detections import detections_from_rows
from photofinish.letterbox import Letterbox, letterbox_from_image, write_letterboxed
from photofinish.machine.compiler import find_compiler


@pytest.fixture(scope="module")
def library() -> Path:
    compiler = find_compiler()
    assert compiler is not None, "the tests need g++"
    return client_library(compiler, lambda line: None)


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("factor", [2, 3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("size_wh", [(1, 1), (2, 3), (5, 1), (6, 2), (7, 4), (160, 90), (637, 11)])
def test_the_values_are_opencvs(library: Path, size_wh: tuple[int, int], factor: int, wide: bool) -> None:
    width, height = size_wh
    random = np.random.default_rng(factor)
    source = random.integers(0, 256, (height * factor, width * factor, 3), dtype=np.uint8)
    # Rows of both lie apart, so that what is read or written beside them shows.
    wider = np.full((height * factor, width * factor + 5, 3), 99, np.uint8)
    wider[:, : width * factor] = source
    out = np.full((height, width + 5, 3), 7, np.uint8)
    assert resize_from_library(library, wide=wide)(wider[:, : width * factor], out[:, :width])
    resized = cv2.resize(source, size_wh, interpolation=cv2.INTER_LINEAR).reshape(height, width, 3)
    np.testing.assert_array_equal(out[:, :width], resized[..., ::-1])
    assert (out[:, width:] == 7).all()


SIZES_WH = [(1, 1), (2, 3), (3, 2), (5, 1), (7, 4), (33, 77), (704, 576), (1279, 719), (500, 333)]


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("source_wh", SIZES_WH)
def test_every_size_has_opencvs_values(library: Path, source_wh: tuple[int, int], wide: bool) -> None:
    width, height = source_wh
    random = np.random.default_rng(width)
    wider = random.integers(0, 256, (height, width + 5, 3), dtype=np.uint8)
    source = wider[:, :width]
    resize = resize_from_library(library, wide=wide)
    for wanted_wh in (source_wh, (1, 1), (2, 2), (6, 5), (100, 61), (640, 360), (641, 479)):
        out = np.full((wanted_wh[1], wanted_wh[0] + 5, 3), 7, np.uint8)
        assert resize(source, out[:, : wanted_wh[0]])
        expected = cv2.resize(np.ascontiguousarray(source), wanted_wh, interpolation=cv2.INTER_LINEAR)
        np.testing.assert_array_equal(out[:, : wanted_wh[0]], expected.reshape(*wanted_wh[::-1], 3)[..., ::-1])
        assert (out[:, wanted_wh[0] :] == 7).all()


@pytest.mark.parametrize("offset", [0, 1])
def test_rows_are_read_as_numpy_reads_them(library: Path, offset: int) -> None:
    read_rows = read_rows_from_library(library)
    letterbox = Letterbox(source_wh=(1279, 719), target_wh=(640, 640))
    random = np.random.default_rng(0)
    for count in (0, 1, 40, 300):
        memory = bytearray(offset + 24 * count)
        rows = np.frombuffer(memory, np.float32, offset=offset).reshape(count, 6)
        rows[...] = random.uniform(-50, 700, rows.shape)
        rows[:, 4] = random.integers(0, 8, count) / np.float32(8)  # many of one confidence
        rows[:, 5] = random.integers(0, 80, count)
        if count == 40:
            rows[3, 2], rows[5, 4], rows[7, 4], rows[9, 5] = np.nan, np.inf, np.nan, np.inf
        for least in (0.0, 0.25, 0.3, 1.0):
            expected = detections_from_rows(rows, letterbox, min_confidence=least)
            assert len(expected) or count < 40 or least == 1.0
            found = detections_from_rows(rows, letterbox, min_confidence=least, read_rows=read_rows)
            for name in ("boxes_xyxy", "confidence", "class_id"):
                np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert read_rows(np.zeros((301, 6), np.float32), letterbox, 0.5) is None
    assert read_rows(np.zeros((300, 9), np.float32), letterbox, 0.5) is None


def test_what_was_read_stays_when_the_next_is_read(library: Path) -> None:
    read_rows = read_rows_from_library(library)
    letterbox = Letterbox(source_wh=(640, 640), target_wh=(640, 640))
    first = read_rows(np.array([[1, 2, 3, 4, 0.9, 1]], np.float32), letterbox, 0.5)
    read_rows(np.array([[5, 6, 7, 8, 0.8, 0]], np.float32), letterbox, 0.5)
    assert first is not None
    assert (first.boxes_xyxy.tolist(), first.class_id.tolist()) == ([[1, 2, 3, 4]], [1])


def test_a_letterbox_is_the_same_with_it_and_without(library: Path) -> None:
    resize = resize_from_library(library)
    for width, height in ((1280, 720), (1920, 1080), (3840, 2160), (640, 480), (704, 576), (1279, 719)):
        image = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
        letterbox = letterbox_from_image(image, (640, 640))
        ours, theirs = np.empty((2, 640, 640, 3), np.uint8)
        write_letterboxed(image, letterbox, ours, swap_channels=True, resize=resize)
        write_letterboxed(image, letterbox, theirs, swap_channels=True)
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("source", "out"),
    [
        (np.zeros((8, 8), np.uint8), np.ones((4, 4, 3), np.uint8)),
        (np.zeros((8, 16, 3), np.uint8)[:, ::2], np.ones((4, 4, 3), np.uint8)),
        (np.zeros((8, 8, 3), np.uint8)[::-1], np.ones((4, 4, 3), np.uint8)),
        (np.zeros((8, 8, 3), np.float32), np.ones((4, 4, 3), np.uint8)),
    ],
    ids=["grey", "every other column", "upside down", "floats"],
)
def test_what_it_cannot_do_is_left_untouched(library: Path, source: np.ndarray, out: np.ndarray) -> None:
    assert not resize_from_library(library)(source, out)
    assert (out == 1).all()


def test_off_is_off_and_a_missing_compiler_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(native, "find_compiler", lambda: None)
    assert native_client(said.append) == Native()
    assert "apt install g++" in said[0]
    monkeypatch.setenv(native.SWITCH, "off")
    assert native_client(said.append) == Native()
    assert len(said) == 1


def test_a_compiler_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOFINISH_CACHE", str(tmp_path))
    (tmp_path / "c++").write_text("#!/bin/sh\necho 'fatal error: no headers here' >&2\nexit 1\n")
    (tmp_path / "c++").chmod(0o755)
    monkeypatch.setenv("CXX", str(tmp_path / "c++"))
    said: list[str] = []
    assert native_client(said.append) == Native()
    assert "fatal error: no headers here" in said[-1]
