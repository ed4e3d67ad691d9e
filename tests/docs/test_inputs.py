"""docs/inputs.md: every row of its tables is made here, or by a test that is named here, and read."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from photofinish.client.detect.naming import VIDEO_SUFFIXES
from photofinish.client.sources.opening import open_source
from photofinish.client.sources.pictures import PICTURE_SUFFIXES
from tests.client.sources.clips import H264, make_clip
from tests.client.sources.heif import write_heic
from tests.docs.pages import is_table_row, read

PAGE = read("docs/inputs.md")
CONTAINERS: dict[str, tuple[str, tuple[object, ...]]] = {
    "MP4 and MOV": (".mp4 .mov .m4v .3gp", H264),
    "MP4 in fragments": (".mp4", (*H264, "-g", "4", "-movflags", "+frag_keyframe+empty_moov")),
    "Matroska and WebM": (".mkv .webm", ("-c:v", "libvpx")),
    "AVI": (".avi", ("-c:v", "mpeg4")),
    "Flash Video": (".flv", H264),
    "Windows Media": (".wmv .asf", ("-c:v", "wmv2")),
    "Ogg": (".ogv", ("-c:v", "libtheora")),
    "GIF": (".gif", ("-c:v", "gif")),
    "MPEG transport stream": (".ts .m2ts", H264),
    "MPEG program stream": (".mpg .vob", ("-c:v", "mpeg2video")),
    "none": (".h264 .hevc .mjpeg", ()),
}
CODINGS: dict[str, tuple[str, tuple[object, ...]]] = {
    "H.264": ("mp4", H264),
    "H.265": ("mp4", ("-c:v", "libx265", "-x265-params", "log-level=none")),
    "AV1": ("mp4", ("-c:v", "libaom-av1", "-cpu-used", "8")),
    "VP8": ("webm", ("-c:v", "libvpx")),
    "VP9": ("webm", ("-c:v", "libvpx-vp9", "-cpu-used", "8")),
    "MPEG-4 part 2": ("avi", ("-c:v", "mpeg4", "-vtag", "DIVX")),
    "MPEG-2": ("mpg", ("-c:v", "mpeg2video")),
    "MPEG-1": ("mpg", ("-c:v", "mpeg1video")),
    "Motion JPEG": ("avi", ("-c:v", "mjpeg")),
    "ProRes": ("mov", ("-c:v", "prores")),
    "DNxHR": ("mov", ("-vf", "scale=256:144", "-c:v", "dnxhd", "-profile:v", "dnxhr_lb", "-pix_fmt", "yuv422p")),
    "DV": ("dv", ("-vf", "scale=720:576", "-c:v", "dvvideo", "-pix_fmt", "yuv420p")),
    "FFV1": ("mkv", ("-c:v", "ffv1")),
    "Theora": ("ogv", ("-c:v", "libtheora")),
    "WMV": ("wmv", ("-c:v", "wmv2")),
    "Sorenson Spark": ("flv", ("-c:v", "flv1")),
    "not compressed": ("avi", ("-c:v", "rawvideo", "-pix_fmt", "bgr24")),
}
CODERS = {".jfif": ".jpg", ".pbm": ".ppm", ".pgm": ".ppm"}
ELSEWHERE = {
    "a playlist that ends, by http": "test_web:test_a_part_that_is_missing_is_told",
    "a camera of this machine": "test_live:test_what_is_a_camera",
    "RTSP": "test_rtsp:test_a_camera_that_refuses_tcp_is_read_over_udp",
    "Motion JPEG by http": "test_web:test_a_camera_by_http_is_reached_again",
    "a playlist that goes on, by http": "test_web:test_a_playlist_that_goes_on_is_a_camera",
    "a transport stream by UDP": "test_streams:test_a_transport_stream_by_udp",
}


def rows_of(heading: str) -> dict[str, str]:
    """First and second cell of every row of the table with that first heading."""
    lines = PAGE.splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith(f"| {heading} |")) + 2
    rows = {}
    for line in lines[start:]:
        if not is_table_row(line):
            break
        first, second = line.split("|")[1:3]
        rows[first.strip()] = second.strip()
    return rows


def suffixes(cell: str) -> list[str]:
    return re.findall(r"`(\.\w+)`", cell)


def coded_alone(suffix: str) -> tuple[object, ...]:
    return {".h264": H264, ".hevc": ("-c:v", "libx265", "-x265-params", "log-level=none")}.get(
        suffix, ("-c:v", "mjpeg")
    )


def read_frames(path: Path) -> int:
    with open_source(str(path)) as source:
        return len(list(source.frames()))


@pytest.mark.parametrize("container", rows_of("container"))
def test_containers(container: str, tmp_path: Path) -> None:
    if container in ELSEWHERE:
        return
    named, words = CONTAINERS[container]
    assert suffixes(rows_of("container")[container]) == named.split()
    for suffix in named.split():
        path = make_clip(tmp_path / f"a{suffix}", *(words or coded_alone(suffix)), seconds=0.4)
        assert read_frames(path) == 10, suffix


@pytest.mark.parametrize("coding", rows_of("coding"))
def test_codings(coding: str, tmp_path: Path) -> None:
    suffix, words = CODINGS[coding]
    assert read_frames(make_clip(tmp_path / f"a.{suffix}", *words, seconds=0.4)) == 10


@pytest.mark.parametrize("kind", rows_of("format"))
def test_pictures(kind: str, tmp_path: Path) -> None:
    for suffix in suffixes(rows_of("format")[kind]):
        path = tmp_path / f"a{suffix}"
        if kind == "HEIC":
            write_heic(path)
        else:
            picture = np.full((64, 96, 3), 120, np.uint8)
            path.write_bytes(cv2.imencode(CODERS.get(suffix, suffix), picture)[1].tobytes())
        assert read_frames(path) == 1


@pytest.mark.parametrize("row", sorted({*rows_of("source"), *(set(rows_of("container")) & set(ELSEWHERE))}))
def test_rows_that_need_a_server_have_their_own_tests(row: str) -> None:
    module, _, name = ELSEWHERE[row].partition(":")
    assert callable(getattr(importlib.import_module(f"tests.client.sources.{module}"), name))


def test_the_page_names_all_that_the_code_does() -> None:
    pictures = [suffix for cell in rows_of("format").values() for suffix in suffixes(cell)]
    assert sorted(pictures) == sorted(PICTURE_SUFFIXES)
    videos = {suffix for cell in rows_of("container").values() for suffix in suffixes(cell)}
    assert videos - {".m3u8"} <= set(VIDEO_SUFFIXES)
    makers: Callable[[str], set[str]] = lambda heading: set(rows_of(heading)) - set(ELSEWHERE)  # noqa: E731
    assert makers("container") == set(CONTAINERS)
    assert makers("coding") == set(CODINGS)
