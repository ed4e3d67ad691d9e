"""Whether a recording is all there: what its container announces in bytes, against what lies on the disk.

Only structure is looked at, never a number of frames or a duration: those are estimates, and intact files break them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

MAX_BOXES = 200_000
"""A fragmented file has two boxes a second; a damaged one must not be walked for ever."""
_EBML, _SEGMENT = 0x1A45DFA3, 0x18538067
_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_FLV_TAG_HEADER = 11
_OGG_PAGE = 65307
"""The most bytes that a page can have."""


def missing_part(path: Path) -> str | None:
    """What is missing of a recording, such as `1200 of 3000 bytes are there`; None when it is whole or cannot be told.

    MP4 and MOV, Matroska and WebM, AVI, ASF, FLV, Ogg and GIF tell; transport streams and raw streams may end anywhere.
    """
    try:
        with path.open("rb") as file:
            head = file.read(64)
            present = file.seek(0, 2)
            for is_kind, announce in _KINDS:
                if is_kind(head):
                    file.seek(0)
                    announced = announce(file, present)
                    break
            else:
                return None
    except (OSError, struct.error):
        return None
    if isinstance(announced, str):
        return announced
    return None if announced is None or announced <= present else f"{present} of {announced} bytes are there"


def _iso_size(file: BinaryIO, present: int) -> int | None:
    """ISO/IEC 14496-12: boxes one after the other; the last one tells where the file ends."""
    position = 0
    for _ in range(MAX_BOXES):
        file.seek(position)
        header = file.read(16)
        if len(header) < 8:
            return position + 8 if header.strip(b"\0") else position
        size, kind = int.from_bytes(header[:4], "big"), header[4:8]
        if size == 1 and len(header) == 16:
            size = int.from_bytes(header[8:], "big")
        if size < 8 or not kind.isascii():
            return None  # to the end, padding, or no box
        position += size
        if position >= present:
            return position
    return None


def _matroska_size(file: BinaryIO, present: int) -> int | None:
    """RFC 8794: an EBML header, then one segment that holds the rest."""
    for expected in (_EBML, _SEGMENT):
        if int.from_bytes(file.read(4), "big") != expected:
            return None
        first = file.read(1)
        if not first or first[0] == 0:
            return None
        length = 9 - first[0].bit_length()
        size = int.from_bytes(bytes([first[0] & (0xFF >> length)]) + file.read(length - 1), "big")
        if size == (1 << 7 * length) - 1:
            return None  # a live recording: nobody knew
        if expected == _EBML:
            file.seek(size, 1)
    return file.tell() + size


def _riff_size(file: BinaryIO, present: int) -> int | None:
    """RIFF chunks one after the other, each with its size; files over 2 GB have several."""
    position = 0
    while position + 12 <= present:
        file.seek(position)
        kind, size = struct.unpack("<4sI", file.read(8))
        if kind != b"RIFF" or size in (0, 0xFFFFFFFF):
            return None
        position += 8 + size + size % 2
    return position - (1 if position == present + 1 else 0)


def _asf_size(file: BinaryIO, present: int) -> int | None:
    """The file properties object has the file's size, 0 where it was broadcast."""
    head = file.read(65536)
    position = head.find(_ASF_FILE_PROPERTIES)
    if position < 0 or position + 48 > len(head):
        return None
    return int(struct.unpack("<Q", head[position + 40 : position + 48])[0])


def _flv_damage(file: BinaryIO, present: int) -> str | None:
    """Every tag is followed by its own size; where the last four bytes are no such size a tag was cut."""
    file.seek(max(present - 4, 0))
    size = int.from_bytes(file.read(4), "big")
    start = present - 4 - size
    if size >= _FLV_TAG_HEADER and start >= 13:
        file.seek(start)
        if int.from_bytes(file.read(4)[1:], "big") == size - _FLV_TAG_HEADER:
            return None
    return "its last part is incomplete"


def _gif_damage(file: BinaryIO, present: int) -> str | None:
    file.seek(max(present - 1024, 0))
    return None if file.read().rstrip(b"\0").endswith(b";") else "its end is missing"


def _ogg_damage(file: BinaryIO, present: int) -> str | None:
    """RFC 3533: the last page says how long it is."""
    file.seek(max(present - _OGG_PAGE, 0))
    tail = file.read()
    start = tail.rfind(b"OggS")
    lengths = tail[start + 27 :][: tail[start + 26]] if 0 <= start < len(tail) - 27 else b""
    is_whole = bool(lengths) and start + 27 + len(lengths) + sum(lengths) <= len(tail)
    return None if is_whole else "its last page is incomplete"


_KINDS: tuple[tuple[Callable[[bytes], bool], Callable[[BinaryIO, int], int | str | None]], ...] = (
    (lambda head: head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"styp"), _iso_size),
    (lambda head: head[:4] == _EBML.to_bytes(4, "big"), _matroska_size),
    (lambda head: head[:4] == b"RIFF" and head[8:12] == b"AVI ", _riff_size),
    (lambda head: head[:16] == _ASF_HEADER, _asf_size),
    (lambda head: head[:3] == b"FLV", _flv_damage),
    (lambda head: head[:4] == b"GIF8", _gif_damage),
    (lambda head: head[:4] == b"OggS", _ogg_damage),
)
