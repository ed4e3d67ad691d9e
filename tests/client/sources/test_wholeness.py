"""What the structure of a file says about its end, on bytes that need no encoder."""

from __future__ import annotations

from pathlib import Path

import pytest

from photofinish.client.sources.wholeness import missing_part

FTYP = (16).to_bytes(4, "big") + b"ftypisom" + bytes(4)
EBML = bytes.fromhex("1a45dfa3") + b"\x81\x00"
FLV = b"FLV\x01\x01\x00\x00\x00\x09" + bytes(4)
TAG = b"\x09\x00\x00\x05" + bytes(7) + b"12345"
ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + bytes(14)
PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365") + bytes(24)
PAGE = b"OggS" + bytes(22) + b"\x02\x10\x04"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (FTYP + (100).to_bytes(4, "big") + b"mdat" + bytes(92), None),
        (FTYP + (100).to_bytes(4, "big") + b"mdat" + bytes(42), "66 of 116 bytes are there"),
        (FTYP + (1).to_bytes(4, "big") + b"mdat" + (9000).to_bytes(8, "big"), "32 of 9016 bytes are there"),
        (FTYP + bytes(4) + b"mdat" + bytes(50), None),
        (FTYP + bytes(50), None),
        (FTYP + b"\0\0", None),
        (FTYP + b"\0\0\0\x20mo", "22 of 24 bytes are there"),
        (EBML + bytes.fromhex("18538067") + b"\x84" + bytes(4), None),
        (EBML + bytes.fromhex("18538067") + b"\x40\x64" + bytes(50), "62 of 112 bytes are there"),
        (EBML + bytes.fromhex("18538067") + b"\xff" + bytes(4), None),
        (EBML + bytes.fromhex("18538067") + b"\x01" + b"\xff" * 7 + bytes(4), None),
        (EBML + b"\x00" * 20, None),
        (b"RIFF" + (24).to_bytes(4, "little") + b"AVI " + bytes(20), None),
        (b"RIFF" + (99).to_bytes(4, "little") + b"AVI " + bytes(20), "32 of 108 bytes are there"),
        (b"RIFF" + (25).to_bytes(4, "little") + b"AVI " + bytes(21), None),
        (b"RIFF" + bytes(4) + b"AVI " + bytes(20), None),
        (FLV + TAG + (16).to_bytes(4, "big"), None),
        (FLV + TAG + (16).to_bytes(4, "big") + TAG[:9], "its last part is incomplete"),
        (ASF + PROPERTIES + (78).to_bytes(8, "little"), None),
        (ASF + PROPERTIES + (99).to_bytes(8, "little"), "78 of 99 bytes are there"),
        (ASF + PROPERTIES + bytes(8), None),
        (b"GIF89a" + bytes(30) + b";", None),
        (b"GIF89a" + bytes(30) + b";\0\0", None),
        (b"GIF89a" + bytes(30), "its end is missing"),
        (PAGE + bytes(20), None),
        (PAGE + bytes(19), "its last page is incomplete"),
        (b"G" + bytes(187), None),
        (b"", None),
        (b"\0", None),
    ],
)
def test_what_is_missing(content: bytes, words: str | None, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert missing_part(path) == words


def test_a_file_that_is_gone_tells_nothing(tmp_path: Path) -> None:
    assert missing_part(tmp_path / "nowhere") is None
