"""Small clips for the tests, made with ffmpeg: 128 x 72 pixels, 25 frames a second."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from pathlib import Path

import pytest

H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")


def ffmpeg(*words: object) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("no ffmpeg: apt-get install ffmpeg")
    command = ["ffmpeg", "-hide_banner", "-loglevel", "error", "-nostdin", "-y", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def make_clip(path: Path, *words: object, seconds: float = 1.0, size: str = "128x72") -> Path:
    """A moving test picture, coded as `words` say."""
    ffmpeg("-f", "lavfi", "-i", f"testsrc2=s={size}:r=25:d={seconds}", *(words or H264), path)
    return path


def make_clip_with_sound(path: Path, *words: object, seconds: float, sound_s: float) -> Path:
    sources = (f"testsrc2=s=128x72:r=25:d={seconds}", f"sine=d={sound_s}")
    ffmpeg(*(word for source in sources for word in ("-f", "lavfi", "-i", source)), *(words or H264), path)
    return path


def copy_clip(source: Path, path: Path, *words: object, before: tuple[object, ...] = ()) -> Path:
    """The same pictures in another container."""
    ffmpeg(*before, "-i", source, "-c", "copy", *words, path)
    return path


def joined(path: Path, *parts: Path) -> Path:
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def cut(source: Path, path: Path, share: float = 0.6) -> Path:
    content = source.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def with_hole(source: Path, path: Path, begin: float = 0.5, end: float = 0.6) -> Path:
    """A part of the file overwritten with noise."""
    content = bytearray(source.read_bytes())
    span = slice(int(len(content) * begin), int(len(content) * end))
    content[span] = random.Random(0).randbytes(span.stop - span.start)
    path.write_bytes(content)
    return path


def with_codec_tag(source: Path, path: Path, tag: bytes) -> Path:
    """An MP4 file that claims another coding."""
    content = bytearray(source.read_bytes())
    position = content.index(b"avc1", content.index(b"stsd"))
    content[position : position + 4] = tag
    path.write_bytes(content)
    return path


def turned(source: Path, path: Path, degrees_clockwise: int) -> Path:
    """An MP4 file whose display matrix turns its pictures."""
    content = bytearray(source.read_bytes())
    position = content.index(b"tkhd") + 4 + 40  # ISO/IEC 14496-12, version 0 of the box
    one, minus = (1 << 16).to_bytes(4, "big"), (-1 << 16).to_bytes(4, "big", signed=True)
    none, unit = bytes(4), (1 << 30).to_bytes(4, "big")
    a, b, c, d = {90: (none, one, minus, none), 180: (minus, none, none, minus), 270: (none, minus, one, none)}[
        degrees_clockwise
    ]
    content[position : position + 36] = a + b + none + c + d + none + none + none + unit
    path.write_bytes(content)
    return path


def decodable_frames(path: Path) -> int:
    """How many frames another program, ffprobe, decodes of the first video."""
    words = ["-v", "quiet", "-count_frames", "-select_streams", "v:0", "-show_entries", "stream=nb_read_frames"]
    done = subprocess.run(
        ["ffprobe", *words, "-of", "json", str(path)], capture_output=True, text=True, timeout=60, check=True
    )
    return int(json.loads(done.stdout)["streams"][0]["nb_read_frames"])
