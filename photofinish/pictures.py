"""Picture files: which files are pictures, where they lie in a folder, and a whole one decoded."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from photofinish.errors import SourceError

IMAGE_SUFFIXES = (
    *(".avif", ".bmp", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg"),
    *(".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"),
)
COLLECTED_FOLDER = "frames"
"""Below its folder `photofinish calibrate` keeps pictures here, apart from its contact sheet."""
JPEG_START, _PNG_START = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"
_END_OF_IMAGE, _START_OF_SCAN = 0xD9, 0xDA
_WITH_LENGTH = frozenset((*range(0xC0, 0xD0), *range(0xDA, 0xF0), 0xFE))
_NEXT_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")
"""Inside compressed data 0xFF is followed by 0x00 or a restart marker; anything else ends the data."""


def image_from_file(path: Path) -> npt.NDArray[np.uint8]:
    """The picture (height, width, 3), blue first. Raises SourceError for anything that is not a whole picture."""
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise SourceError(f"{path} cannot be read: {exc.strerror or exc}") from exc
    return image_from_bytes(content, str(path))


def image_from_bytes(content: bytes, shown: str) -> npt.NDArray[np.uint8]:
    """The picture (height, width, 3), blue first, out of a file's bytes. shown: the file's name in a SourceError."""
    if content.startswith(JPEG_START) and (damage := jpeg_damage(content)):
        raise SourceError(f"{shown} is a damaged JPEG: {damage}; copy it again")
    if content.startswith(_PNG_START):
        if damage := png_damage(content):
            raise SourceError(f"{shown} is a damaged PNG: {damage}; copy it again")
        if _png_promises_too_much(content):
            promise = f"{len(content)} bytes cannot hold the size it names"
            raise SourceError(f"{shown} is a damaged PNG: {promise}; copy it again")
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if content else None
    except cv2.error as exc:
        raise SourceError(f"{shown} is not a picture that can be decoded: {exc.err or exc}") from exc
    if image is None:
        raise SourceError(
            f"{shown} is not a picture that can be decoded; expected a whole JPEG, PNG, BMP, TIFF or WebP"
        )
    return np.asarray(image, dtype=np.uint8)


def _png_promises_too_much(content: bytes) -> bool:
    """Whether a PNG names more pixels than its bytes can hold: deflate makes at most 1032 bytes of one (RFC 1951)."""
    width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
    return height * (width // 8) > 1032 * len(content)


def is_picture(path: Path, suffixes: Sequence[str] = IMAGE_SUFFIXES) -> bool:
    """Whether a file's name says that it is a picture; hidden files, such as the `._` files of macOS, are none."""
    return path.suffix.lower() in suffixes and not path.name.startswith(".")


def image_paths(folder: Path, suffixes: Sequence[str] = IMAGE_SUFFIXES) -> tuple[Path, ...]:
    """The pictures in a folder, by name, with links that lead nowhere. Raises SourceError when there is none."""
    try:
        named = [path for path in folder.iterdir() if is_picture(path, suffixes)]
        paths = tuple(sorted(path for path in named if path.is_file() or not path.exists()))
    except OSError as exc:
        raise SourceError(f"{folder} cannot be read: {exc.strerror}; give a folder that this user may read") from exc
    if not paths:
        raise SourceError(f"{folder} holds no pictures; expected files ending in {', '.join(suffixes)}")
    return paths


def image_paths_below(folder: Path) -> list[Path]:
    """The pictures in a folder and in those below it, by name; OSError when it cannot be read."""
    return sorted(path for path in folder.rglob("*") if is_picture(path) and path.is_file())


def jpeg_damage(content: bytes) -> str | None:
    """What is wrong with the structure of a JPEG, or None. Segments are ISO/IEC 10918-1, annex B."""
    position = len(JPEG_START)
    while True:
        marker = _NEXT_MARKER.match(content, position)
        if marker is None:
            return f"it is cut short or overwritten at byte {position} of {len(content)}"
        code = marker[1][0]
        if code == _END_OF_IMAGE:
            return None
        length = int.from_bytes(content[marker.end() : marker.end() + 2], "big")
        position = marker.end() + length
        if code not in _WITH_LENGTH or length < 2 or position > len(content):
            return f"it is cut short or overwritten at byte {marker.start()} of {len(content)}"
        if code == _START_OF_SCAN:
            following = _NEXT_MARKER.search(content, position)
            if following is None:
                return f"its end is missing, it has {len(content)} bytes"
            position = following.start()


def png_damage(content: bytes) -> str | None:
    """What is wrong with the structure of a PNG, or None: chunks with their length, up to IEND (ISO/IEC 15948).

    OpenCV believes a length that the file does not have, and fills 2 GB for it.
    """
    position = len(_PNG_START)
    while position + 12 <= len(content):
        length, kind = int.from_bytes(content[position : position + 4], "big"), content[position + 4 : position + 8]
        if position + 12 + length > len(content):
            return f"it is cut short or overwritten at byte {position} of {len(content)}"
        if kind == b"IEND":
            return None
        position += 12 + length
    return f"its end is missing, it has {len(content)} bytes"
