"""The compiled resizing gives OpenCV's very values, and writes nothing beside them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from photofinish.client.native import shrinking
from photofinish.client.native.shrinking import client_library, native_shrink, shrink_from_library
from photofinish.letterbox import letterbox_from_image, write_letterboxed
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
    assert shrink_from_library(library, wide=wide)(wider[:, : width * factor], out[:, :width])
    resized = cv2.resize(source, size_wh, interpolation=cv2.INTER_LINEAR).reshape(height, width, 3)
    np.testing.assert_array_equal(out[:, :width], resized[..., ::-1])
    assert (out[:, width:] == 7).all()


def test_a_letterbox_is_the_same_with_it_and_without(library: Path) -> None:
    shrink = shrink_from_library(library)
    for width, height in ((1280, 720), (1920, 1080), (3840, 2160), (640, 480), (704, 576), (1279, 719)):
        image = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
        letterbox = letterbox_from_image(image, (640, 640))
        ours, theirs = np.empty((2, 640, 640, 3), np.uint8)
        write_letterboxed(image, letterbox, ours, swap_channels=True, shrink=shrink)
        write_letterboxed(image, letterbox, theirs, swap_channels=True)
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("source", "out"),
    [
        (np.zeros((9, 8, 3), np.uint8), np.ones((4, 4, 3), np.uint8)),
        (np.zeros((8, 12, 3), np.uint8), np.ones((4, 4, 3), np.uint8)),
        (np.zeros((4, 4, 3), np.uint8), np.ones((4, 4, 3), np.uint8)),
        (np.zeros((8, 8), np.uint8), np.ones((4, 4, 3), np.uint8)),
        (np.zeros((8, 16, 3), np.uint8)[:, ::2], np.ones((4, 4, 3), np.uint8)),
        (np.zeros((8, 8, 3), np.uint8)[::-1], np.ones((4, 4, 3), np.uint8)),
        (np.zeros((8, 8, 3), np.float32), np.ones((4, 4, 3), np.uint8)),
    ],
    ids=["no factor", "two factors", "same size", "grey", "every other column", "upside down", "floats"],
)
def test_what_it_cannot_do_is_left_untouched(library: Path, source: np.ndarray, out: np.ndarray) -> None:
    assert not shrink_from_library(library)(source, out)
    assert (out == 1).all()


def test_off_is_off_and_a_missing_compiler_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(shrinking, "find_compiler", lambda: None)
    assert native_shrink(said.append) is None
    assert "apt install g++" in said[0]
    monkeypatch.setenv(shrinking.SWITCH, "off")
    assert native_shrink(said.append) is None
    assert len(said) == 1


def test_a_compiler_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOFINISH_CACHE", str(tmp_path))
    (tmp_path / "c++").write_text("#!/bin/sh\necho 'fatal error: no headers here' >&2\nexit 1\n")
    (tmp_path / "c++").chmod(0o755)
    monkeypatch.setenv("CXX", str(tmp_path / "c++"))
    said: list[str] = []
    assert native_shrink(said.append) is None
    assert "fatal error: no headers here" in said[-1]
