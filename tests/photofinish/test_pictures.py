from __future__ import annotations

import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from photofinish.errors import SourceError
from photofinish.pictures import IMAGE_SUFFIXES, image_from_file, image_paths, image_paths_below


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_every_kind_of_picture_is_found_and_decoded(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"picture{suffix.upper()}"
    same = {".jfif": ".jpg", ".pgm": ".ppm", ".pbm": ".ppm"}.get(suffix, suffix)  # OpenCV writes no grey from colour
    path.write_bytes(cv2.imencode(same, np.full((64, 96, 3), 200, np.uint8))[1])
    assert image_paths(tmp_path) == (path,)
    image = image_from_file(path)
    assert (image.shape, image.dtype) == ((64, 96, 3), np.uint8)


def test_folders_below_are_looked_into_and_are_no_pictures(tmp_path: Path) -> None:
    below = tmp_path / "b" / "folder.png"
    below.mkdir(parents=True)
    for path in (tmp_path / "a.txt", below / "z.jpg", tmp_path / "c.webp", tmp_path / "a.bmp"):
        path.write_bytes(b"x")
    assert image_paths_below(tmp_path) == [tmp_path / "a.bmp", below / "z.jpg", tmp_path / "c.webp"]
    assert image_paths_below(tmp_path / "nothing") == []


def test_hidden_files_are_no_pictures_and_links_to_nowhere_are_kept_to_be_told(tmp_path: Path) -> None:
    """macOS leaves a `._a.jpg` with other content beside `a.jpg` on every other file system."""
    for name in ("._a.jpg", ".hidden.png", "a.jpg"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "b.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "c.jpg").mkdir()
    assert image_paths(tmp_path) == (tmp_path / "a.jpg", tmp_path / "b.jpg")
    assert image_paths_below(tmp_path) == [tmp_path / "a.jpg"]


def test_half_a_png_is_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "half.png"
    content = cv2.imencode(".png", np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8))[1].tobytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(SourceError, match=r"half\.png is a damaged PNG: it is cut short or overwritten at byte \d+"):
        image_from_file(path)
    path.write_bytes(content[:-12])
    with pytest.raises(SourceError, match=r"half\.png is a damaged PNG: its end is missing"):
        image_from_file(path)


def test_a_length_that_a_png_does_not_have_is_not_believed(tmp_path: Path) -> None:
    """OpenCV fills 2 GB for it, which takes seconds."""
    path = tmp_path / "long.png"
    content = cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    position = content.index(b"IDAT") - 4
    path.write_bytes(content[:position] + (0x7FFFFFFF).to_bytes(4, "big") + content[position + 4 :])
    with pytest.raises(SourceError, match=rf"it is cut short or overwritten at byte {position} of {len(content)}"):
        image_from_file(path)


def test_half_a_jpeg_is_no_picture(tmp_path: Path) -> None:
    """OpenCV decodes it without an error, its lower half grey."""
    path = tmp_path / "half.jpg"
    assert cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert cv2.imread(str(path)) is not None
    with pytest.raises(SourceError, match=r"half\.jpg is a damaged JPEG: its end is missing"):
        image_from_file(path)


def test_a_png_that_names_more_pixels_than_it_can_hold_is_refused_at_once(tmp_path: Path) -> None:
    done, content = cv2.imencode(".png", np.full((50, 100, 3), 90, np.uint8))
    assert done
    whole = content.tobytes()
    header = b"IHDR" + (30_000).to_bytes(4, "big") + (30_000).to_bytes(4, "big") + whole[24:29]
    path = tmp_path / "a.png"
    path.write_bytes(whole[:12] + header + zlib.crc32(header).to_bytes(4, "big") + whole[33:])
    with pytest.raises(SourceError, match="cannot hold the size it names"):
        image_from_file(path)


def test_a_large_png_of_one_colour_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    cv2.imwrite(
        str(path), np.zeros((3000, 4000), np.uint8), [cv2.IMWRITE_PNG_COMPRESSION, 9, cv2.IMWRITE_PNG_BILEVEL, 1]
    )
    assert image_from_file(path).shape == (3000, 4000, 3)
