"""How large a picture is by its first bytes, before anything of it is decoded."""

from __future__ import annotations

import struct

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_JPEG_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of a frame's header; the three between them define tables (ISO/IEC 10918-1, annex B)."""
_BMP_CORE = 12
"""Bytes of the oldest header of a BMP, whose sides have two bytes each."""


def size_from_header(content: bytes) -> tuple[int, int] | None:
    """Width and height that a JPEG, PNG, WebP or BMP names; None for what is none of these."""
    try:
        if content.startswith(_JPEG):
            found = _jpeg_size(content)
        elif content.startswith(_PNG):
            found = struct.unpack_from(">II", content, 16) if content[12:16] == b"IHDR" else None
        elif content[:4] == b"RIFF" and content[8:12] == b"WEBP":
            found = _webp_size(content)
        elif content.startswith(b"BM"):
            found = _bmp_size(content)
        else:
            return None
    except (struct.error, IndexError):
        return None
    return (found[0], found[1]) if found and min(found) > 0 else None


def scan_count(content: bytes) -> int:
    """In how many passes a JPEG comes; inside their data no such two bytes can stand."""
    return content.count(b"\xff\xda") if content.startswith(_JPEG) else 0


def _jpeg_size(content: bytes) -> tuple[int, int] | None:
    """Segment after segment up to the frame's header; a thumbnail lies inside one of them."""
    position = 2
    while content[position] == 0xFF:
        code = content[position + 1]
        if code == 0xFF:  # filling
            position += 1
            continue
        if code in _JPEG_SIZES:
            height, width = struct.unpack_from(">HH", content, position + 5)
            return width, height
        (length,) = struct.unpack_from(">H", content, position + 2)
        position += 2 + max(length, 2)
    return None


def _webp_size(content: bytes) -> tuple[int, int] | None:
    """The canvas, or the only picture (RFC 9649)."""
    kind = content[12:16]
    if kind == b"VP8X":
        sides = content[24:27], content[27:30]
        return int.from_bytes(sides[0], "little") + 1, int.from_bytes(sides[1], "little") + 1
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", content, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", content, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _bmp_size(content: bytes) -> tuple[int, int]:
    """A negative height means that it begins at the top."""
    (header,) = struct.unpack_from("<I", content, 14)
    width, height = struct.unpack_from("<HH" if header == _BMP_CORE else "<ii", content, 18)
    return abs(width), abs(height)
