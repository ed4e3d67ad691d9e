"""Pixels, frame by frame: as OpenCV's reader gives them, which read everything before, and as ffmpeg does."""

from __future__ import annotations

import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from photofinish.client.sources.opening import open_source
from tests.client.sources.clips import H264, make_clip, turned

H265 = ("-c:v", "libx265", "-x265-params", "log-level=none")
SAME_AS_BEFORE = {
    "H.264 4:2:0": ("mp4", H264),
    "full range": ("mp4", ("-c:v", "libx264", "-pix_fmt", "yuvj420p", "-color_range", "pc")),
    "BT.709": ("mp4", (*H264, "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709")),
    "4:2:2": ("mp4", ("-c:v", "libx264", "-pix_fmt", "yuv422p")),
    "4:4:4, odd sides": ("mp4", ("-vf", "scale=127:71", "-c:v", "libx264", "-pix_fmt", "yuv444p")),
    "10 bits": ("mp4", ("-c:v", "libx264", "-pix_fmt", "yuv420p10le")),
    "H.265": ("mp4", (*H265, "-pix_fmt", "yuv420p")),
    "H.265, 10 bits": ("mp4", (*H265, "-pix_fmt", "yuv420p10le")),
    "VP8": ("webm", ("-c:v", "libvpx")),
    "VP9": ("webm", ("-c:v", "libvpx-vp9", "-cpu-used", "8")),
    "VP9 with transparency": ("webm", ("-vf", "format=yuva420p", "-c:v", "libvpx-vp9", "-cpu-used", "8")),
    "MPEG-4": ("avi", ("-c:v", "mpeg4")),
    "MPEG-2": ("mpg", ("-c:v", "mpeg2video")),
    "Motion JPEG": ("avi", ("-c:v", "mjpeg")),
    "ProRes": ("mov", ("-c:v", "prores")),
    "FFV1, grey": ("mkv", ("-c:v", "ffv1", "-pix_fmt", "gray")),
    "not compressed": ("avi", ("-c:v", "rawvideo", "-pix_fmt", "bgr24")),
    "PNG": ("mov", ("-c:v", "png")),
    "GIF": ("gif", ("-c:v", "gif")),
    "Theora": ("ogv", ("-c:v", "libtheora")),
    "WMV": ("wmv", ("-c:v", "wmv2")),
    "FLV": ("flv", ("-c:v", "flv1")),
}


def frames_before(path: Path) -> list[np.ndarray]:
    capture, frames = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG), []
    while (found := capture.read())[0]:
        frames.append(found[1])
    capture.release()
    return frames


def frames_now(path: Path) -> list[np.ndarray]:
    with open_source(str(path)) as source:
        return [frame.image_hwc_bgr for frame in source.frames()]


def first_of_ffmpeg(path: Path, size_wh: tuple[int, int]) -> np.ndarray:
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-frames:v", "1", "-pix_fmt", "bgr24", "-f", "rawvideo", "-"]
    pixels = subprocess.run(command, capture_output=True, timeout=60, check=True).stdout
    return np.frombuffer(pixels, np.uint8).reshape(size_wh[1], size_wh[0], 3)


@pytest.mark.parametrize("kind", SAME_AS_BEFORE)
def test_every_pixel_is_as_before(kind, tmp_path):
    suffix, words = SAME_AS_BEFORE[kind]
    path = make_clip(tmp_path / f"a.{suffix}", *words, seconds=0.4)
    before, now = frames_before(path), frames_now(path)
    assert len(now) == len(before) == 10
    for old, new in zip(before, now, strict=True):
        np.testing.assert_array_equal(new, old)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_turned_pictures_are_as_before(degrees, tmp_path):
    path = turned(make_clip(tmp_path / "1.mp4", seconds=0.2), tmp_path / "a.mp4", degrees)
    for old, new in zip(frames_before(path), frames_now(path), strict=True):
        np.testing.assert_array_equal(new, old)


def test_real_videos_are_as_before(test_data):
    path = test_data / "videos" / "highway_cars_720p.mp4"
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    with open_source(str(path)) as source:
        for frame in source.frames():
            np.testing.assert_array_equal(frame.image_hwc_bgr, capture.read()[1])
        assert frame.index == 334
    assert not capture.read()[0]


@pytest.mark.parametrize(
    "words",
    [
        (*H264, "-flags", "+ildct+ilme", "-x264opts", "interlaced=1"),
        (*H265, "-pix_fmt", "yuv420p10le", "-colorspace", "bt2020nc", "-color_trc", "smpte2084"),
        ("-c:v", "mpeg2video", "-flags", "+ildct+ilme", "-top", "1"),
    ],
    ids=["interlaced H.264", "BT.2020 with PQ", "interlaced MPEG-2"],
)
def test_what_opencv_5_gets_wrong_is_as_ffmpeg_has_it(words, tmp_path):
    """OpenCV 5.0 gives the memory of another picture for interlaced ones; the last one is in no standard's matrix."""
    path = make_clip(tmp_path / "a.mkv", *words, seconds=0.2)
    difference = np.abs(frames_now(path)[0].astype(int) - first_of_ffmpeg(path, (128, 72)))
    assert difference.mean() < 8


def test_frames_that_are_kept_keep_their_pixels(tmp_path):
    frames = frames_now(make_clip(tmp_path / "a.mp4", seconds=1))
    copies = [frame.copy() for frame in frames_now(tmp_path / "a.mp4")]
    for frame, copy in zip(frames, copies, strict=True):
        np.testing.assert_array_equal(frame, copy)
        assert frame.flags.c_contiguous
        assert frame.flags.writeable
