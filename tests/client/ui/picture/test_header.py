"""The size of a picture by its header, against what a decoder says, and for files that lie."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from photofinish.client.ui.picture.header import scan_count, size_from_header


def png_header(width: int, height: int) -> bytes:
    """A PNG that names these sides and holds next to nothing."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"\0" * 64)
    parts = (head, data, b"IEND")
    chunks = (struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".jpg", {}),
        (".jpg", {"progressive": True}),
        (".jpg", {"exif": b"Exif\0\0" + b"\xff\xc0\0\x11\x08\0\1\0\1" * 9}),
        (".png", {}),
        (".webp", {}),
        (".webp", {"lossless": True}),
        (".webp", {"exif": b"Exif\0\0x"}),
        (".bmp", {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value) or "plain",
)
@pytest.mark.parametrize("size_wh", [(1, 1), (321, 17), (640, 1000)], ids=str)
def test_the_size_is_what_the_decoder_finds(
    tmp_path: Path, suffix: str, options: dict[str, object], size_wh: tuple[int, int]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (size_wh[1], size_wh[0], 3), np.uint8)
    path = tmp_path / f"a{suffix}"
    Image.fromarray(noise).save(path, **options)
    content = path.read_bytes()
    assert size_from_header(content) == size_wh
    height, width = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR).shape[:2]
    assert (width, height) == size_wh


def test_what_no_decoder_would_finish_is_known_by_its_header() -> None:
    assert size_from_header(png_header(50_000, 50_000)) == (50_000, 50_000)
    assert size_from_header(b"BM" + bytes(12) + struct.pack("<Iii", 40, 50_000, -50_000)) == (50_000, 50_000)
    assert size_from_header(b"BM" + bytes(12) + struct.pack("<IHH", 12, 60_000, 7)) == (60_000, 7)
    assert size_from_header(b"RIFF....WEBPVP8X" + bytes(8) + b"\xff\xff\xff\xff\xff\xff") == (1 << 24, 1 << 24)
    assert size_from_header(b"\xff\xd8\xff\xff\xc0\0\x11\x08\xff\xff\xff\xff" + bytes(9)) == (65535, 65535)


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", b"\xff\xd8\xff", b"\xff\xd8\xff\xe0\0\0", b"\x89PNG\r\n\x1a\n", png_header(0, 5), b"BM",
     b"RIFF....WEBPVP8 ", b"RIFF....WEBPZZZZ" + bytes(20), b"#EXTM3U\nfile:///etc/passwd",
     b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"GIF89a" + bytes(20)],
    ids=lambda content: ascii(content[:12]),
)  # fmt: skip
def test_what_is_none_of_these_has_no_size(content: bytes) -> None:
    assert size_from_header(content) is None


@pytest.mark.parametrize("seed", range(3))
def test_noise_behind_a_true_beginning_raises_nothing(seed: int) -> None:
    random = np.random.default_rng(seed)
    for begin in (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF....WEBPVP8X", b"RIFF....WEBPVP8L", b"BM"):
        for length in range(40):
            size_from_header(begin + random.bytes(length))
            scan_count(begin + random.bytes(length))


def test_passes_of_a_progressive_jpeg_are_counted(tmp_path: Path) -> None:
    for name, options in (("a", {}), ("b", {"progressive": True})):
        Image.new("RGB", (64, 64), "red").save(tmp_path / f"{name}.jpg", **options)
    assert scan_count((tmp_path / "a.jpg").read_bytes()) == 1
    assert 5 < scan_count((tmp_path / "b.jpg").read_bytes()) < 20
    assert scan_count(png_header(1, 1)) == 0
