"""Whether a JPEG is whole: OpenCV decodes damaged ones without an error, with grey or garbled parts."""

from __future__ import annotations

import re

JPEG_START = b"\xff\xd8"
_END_OF_IMAGE, _START_OF_SCAN = 0xD9, 0xDA
_WITH_LENGTH = frozenset((*range(0xC0, 0xD0), *range(0xDA, 0xF0), 0xFE))
_NEXT_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")
"""Inside compressed data 0xFF is followed by 0x00 or a restart marker; anything else ends the data."""


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
