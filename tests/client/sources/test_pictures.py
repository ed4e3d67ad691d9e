"""Picture formats that people have, each against the picture that was put into it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from photofinish.client.sources.opening import open_source
from photofinish.client.sources.pictures import PICTURE_SUFFIXES, PictureSource, picture_from_file
from photofinish.errors import SourceError
from photofinish.pictures import IMAGE_SUFFIXES
from tests.client.sources.clips import ffmpeg
from tests.client.sources.heif import write_heic

GRID = (3, 2)


def test_picture(size_wh: tuple[int, int]) -> np.ndarray:
    """What ffmpeg's test picture looks like."""
    words = ["-f", "lavfi", "-i", f"testsrc2=s={size_wh[0]}x{size_wh[1]}", "-frames:v", "1", "-pix_fmt", "bgr24"]
    done = subprocess.run(["ffmpeg", "-v", "error", *words, "-f", "rawvideo", "-"], capture_output=True, check=True)
    return np.frombuffer(done.stdout, np.uint8).reshape(size_wh[1], size_wh[0], 3)


test_picture.__test__ = False


def assert_alike(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).mean() < 16


@pytest.mark.parametrize(
    ("options", "turns"),
    [
        ({}, 0),
        ({"quarter_turns": 1}, 1),
        ({"grid": GRID}, 0),
        ({"grid": GRID, "size_wh": (150, 100)}, 0),
        ({"grid": GRID, "size_wh": (150, 100), "quarter_turns": 3}, 3),
    ],
    ids=["one piece", "one piece, turned", "tiles", "tiles with too much", "tiles, turned"],
)
def test_heic_of_telephones(options, turns, tmp_path):
    path = write_heic(tmp_path / "photo.HEIC", **options)
    columns, rows = options.get("grid", (1, 1))
    expected = test_picture((64 * columns, 64 * rows))
    width, height = options.get("size_wh", (64 * columns, 64 * rows))
    with open_source(str(path)) as source:
        (frame,) = source.frames()
        assert source.size_wh == frame.size_wh
    assert_alike(frame.image_hwc_bgr, np.rot90(expected[:height, :width], turns))


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("grid", [(1, 1), GRID], ids=["one piece", "tiles"])
def test_half_a_heic_is_no_picture(grid, share, tmp_path):
    whole = write_heic(tmp_path / "whole.heic", grid=grid).read_bytes()
    path = tmp_path / "half.heic"
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(SourceError, match=r"half\.heic is not a picture that can be decoded"):
        picture_from_file(path)


@pytest.mark.parametrize("name", ["photo.avif", "photo.jfif", "photo.jp2", "photo.jpe"])
def test_formats_beside_jpeg_and_png(name, tmp_path):
    path = tmp_path / name
    expected = test_picture((96, 64))
    coder = {".jfif": ".jpg"}.get(path.suffix, path.suffix)
    path.write_bytes(cv2.imencode(coder, expected)[1].tobytes())
    assert_alike(picture_from_file(path), expected)


def test_avif_where_opencv_was_built_without_it(tmp_path, monkeypatch):
    path = tmp_path / "photo.avif"
    expected = test_picture((96, 64))
    path.write_bytes(cv2.imencode(".avif", expected)[1].tobytes())
    monkeypatch.setattr(cv2, "imdecode", lambda content, flags: None)
    assert_alike(picture_from_file(path), expected)


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_jpegs_are_turned_as_their_exif_says(orientation, turns, tmp_path):
    path = tmp_path / "photo.jpg"
    expected = test_picture((96, 64))
    content = cv2.imencode(".jpg", expected)[1].tobytes()
    tiff = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01" + bytes([0, orientation, 0, 0]) + bytes(4)
    exif = b"Exif\0\0" + tiff
    path.write_bytes(content[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + content[2:])
    assert_alike(picture_from_file(path), np.rot90(expected, turns))


@pytest.mark.parametrize("pixels", ["gray", "rgb48be", "rgba", "pal8", "monob"])
def test_pngs_of_every_depth(pixels, tmp_path):
    path = tmp_path / "a.png"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=96x64", "-frames:v", 1, "-pix_fmt", pixels, path)
    assert picture_from_file(path).shape == (64, 96, 3)


def test_a_format_that_nothing_here_reads_is_named(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"\xff\x0a" + bytes(200))  # JPEG XL with the name of a JPEG
    with pytest.raises(SourceError, match=r"photo\.jpg is not a picture that can be decoded; expected a whole JPEG"):
        picture_from_file(path)


def test_the_index_counts_what_is_given_and_leads_to_its_file(tmp_path):
    for name in ("a.png", "c.png"):
        (tmp_path / name).write_bytes(cv2.imencode(".png", test_picture((8, 8)))[1].tobytes())
    (tmp_path / "b.png").write_bytes(b"hello")
    notices: list[str] = []
    with open_source(str(tmp_path), on_notice=notices.append, loop=True) as source:
        assert isinstance(source, PictureSource)
        frames = source.frames()
        found = [next(frames) for _ in range(5)]
    assert [frame.index for frame in found] == list(range(5))
    assert [source.path_of(frame.index).name for frame in found] == ["a.png", "c.png", "a.png", "c.png", "a.png"]
    assert source.skipped == ["b.png"]
    assert len(notices) == 1
    with pytest.raises(SourceError, match=r"1 pictures could not be read and were skipped: b\.png"):
        source.require_all_read()


def test_suffixes() -> None:
    assert set(IMAGE_SUFFIXES) < set(PICTURE_SUFFIXES)
    assert Path("a.HEIC").suffix.lower() in PICTURE_SUFFIXES
