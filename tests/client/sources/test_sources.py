from __future__ import annotations

import functools
import http.server
import itertools
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from photofinish.address.hiding import public_address
from photofinish.client.sources import streams
from photofinish.client.sources.opening import open_source
from photofinish.client.sources.pictures import PictureSource
from photofinish.client.sources.recordings import VideoSource
from photofinish.client.sources.streams import StreamSource
from photofinish.errors import SourceError

SIZE_WH = (96, 64)


def write_picture(path: Path, value: int = 100) -> Path:
    assert cv2.imwrite(str(path), np.full((SIZE_WH[1], SIZE_WH[0], 3), value, np.uint8))
    return path


def write_noise(path: Path) -> Path:
    """A JPEG that is long enough to be cut in a meaningful way."""
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    assert cv2.imwrite(str(path), noise)
    return path


def write_video(path: Path, *, count: int = 30, rate: float = 30) -> Path:
    """Frame n is grey with level 5 n."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), rate, SIZE_WH)
    for index in range(count):
        writer.write(np.full((SIZE_WH[1], SIZE_WH[0], 3), 5 * index, np.uint8))
    writer.release()
    return path


def frames_of(spec, **options):
    with open_source(str(spec), **options) as source:
        return list(source.frames())


def test_a_picture(tmp_path):
    with open_source(str(write_picture(tmp_path / "a.png"))) as source:
        (frame,) = source.frames()
        assert (source.name, source.size_wh, source.frame_count, source.is_live) == ("a.png", SIZE_WH, 1, False)
    assert frame.index == 0
    assert frame.image_hwc_bgr[0, 0].tolist() == [100, 100, 100]


def test_a_folder_in_the_order_of_names(tmp_path):
    for name, value in (("b.png", 2), ("a.jpg", 1), ("c.PNG", 3)):
        write_picture(tmp_path / name, value)
    (tmp_path / "notes.txt").write_text("not a picture")
    frames = frames_of(tmp_path)
    assert [frame.image_hwc_bgr[0, 0, 0] for frame in frames] == [1, 2, 3]
    assert [frame.index for frame in frames] == [0, 1, 2]


def test_a_video(tmp_path):
    path = write_video(tmp_path / "clip.mp4")
    with open_source(str(path)) as source:
        assert isinstance(source, VideoSource)
        assert (source.size_wh, source.frames_per_s, source.frame_count) == (SIZE_WH, 30, 30)
        frames = list(source.frames())
    assert [frame.index for frame in frames] == list(range(30))
    levels = [int(frame.image_hwc_bgr.mean()) for frame in frames]
    assert levels == sorted(levels)


@pytest.mark.parametrize("kind", ["video", "folder"])
def test_loop_repeats_and_the_index_goes_on(tmp_path, kind):
    if kind == "video":
        spec = write_video(tmp_path / "clip.mp4", count=4)
    else:
        spec = tmp_path
        for index in range(4):
            write_picture(tmp_path / f"{index}.png", index)
    with open_source(str(spec), loop=True) as source:
        frames = list(itertools.islice(source.frames(), 10))
        assert source.frame_count is None
    assert [frame.index for frame in frames] == list(range(10))
    np.testing.assert_array_equal(frames[1].image_hwc_bgr, frames[5].image_hwc_bgr)


def test_paced_takes_the_time_the_recording_took(tmp_path):
    path = write_video(tmp_path / "clip.mp4", count=16, rate=40)
    begun = time.perf_counter()
    frames = frames_of(path, paced=True)
    assert 0.36 < time.perf_counter() - begun < 10
    assert frames[-1].index == 15


def test_paced_skips_what_a_slow_reader_missed(tmp_path):
    path = write_video(tmp_path / "clip.mp4", count=50, rate=20)
    with open_source(str(path), paced=True) as source:
        assert source.is_live
        frames = source.frames()
        first = next(frames)
        time.sleep(0.4)
        second = next(frames)
    assert first.index == 0
    assert second.index >= 7
    assert abs(second.image_hwc_bgr.mean() - 5 * second.index) < 8


def test_the_synthetic_camera_is_the_same_for_the_same_seed():
    spec = "synthetic?seed=3&width=320&height=192&fps=10"
    with open_source(spec) as source, open_source(spec) as again:
        assert (source.size_wh, source.frames_per_s, source.frame_count) == ((320, 192), 10, None)
        first, second = next(source.frames()), next(again.frames())
    np.testing.assert_array_equal(first.image_hwc_bgr, second.image_hwc_bgr)
    assert first.truth is not None


def test_the_paced_synthetic_camera_skips_what_was_missed():
    with open_source("synthetic?width=96&height=64&fps=50", paced=True) as source:
        frames = source.frames()
        next(frames)
        time.sleep(0.3)
        assert next(frames).index >= 14


def test_closing_ends_a_waiting_source(tmp_path):
    path = write_video(tmp_path / "slow.mp4", count=3, rate=0.1)
    source = open_source(str(path), paced=True)
    timer = threading.Timer(0.2, source.close)
    timer.start()
    begun = time.monotonic()
    assert len(list(source.frames())) <= 2
    assert time.monotonic() - begun < 9
    timer.join()


def test_missing(tmp_path):
    with pytest.raises(SourceError, match=r"nowhere\.jpg does not exist"):
        open_source(str(tmp_path / "nowhere.jpg"))


def test_a_name_that_no_file_can_have():
    with pytest.raises(SourceError, match="does not exist") as caught:
        open_source("x" * 5000)
    assert len(str(caught.value)) < 500
    with pytest.raises(SourceError, match="does not exist") as caught:
        open_source("rtspp://admin:hunter2@cam/1")
    assert "hunter2" not in str(caught.value)


def test_a_folder_that_may_not_be_read(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(SourceError, match="cannot be read: Permission denied"):
        open_source(str(tmp_path))


def test_empty_folder(tmp_path):
    with pytest.raises(SourceError, match="holds no pictures; expected"):
        open_source(str(tmp_path))
    (tmp_path / "街道 2.mp4").touch()
    (tmp_path / "街道 1.mp4").touch()
    with pytest.raises(SourceError, match=r"but videos; give one of them, such as .*街道 1.mp4"):
        open_source(str(tmp_path))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda content: content[: len(content) // 2], "its end is missing"),
        (lambda content: content[:300], "cut short or overwritten"),
        (lambda content: content[:2000] + bytes([0xFF, 0x42]) * 500 + content[3000:], "overwritten at byte 2000"),
        (lambda content: content[:2], "cut short or overwritten at byte 2"),
        (lambda content: b"", "not a picture"),
        (lambda content: b"hello", "not a picture"),
    ],
    ids=["half", "header only", "overwritten", "two bytes", "empty", "text"],
)
def test_damaged_jpeg(tmp_path, damage, words):
    path = write_noise(tmp_path / "broken.jpg")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(SourceError, match=words) as caught:
        frames_of(path)
    assert "broken.jpg" in str(caught.value)


def test_a_damaged_picture_in_a_folder_is_named(tmp_path):
    write_picture(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"hello")
    with pytest.raises(SourceError, match=r"b\.png"):
        frames_of(tmp_path, strict=True)


def test_jpegs_of_other_programs_are_whole(test_data):
    for path in sorted((test_data / "coco_val2017_128" / "images").iterdir())[:40]:
        assert PictureSource(path.name, (path,)).size_wh


@pytest.mark.parametrize("content", [b"", b"hello", bytes(5000)], ids=["empty", "text", "zeros"])
def test_not_a_video(tmp_path, content):
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"clip\.mp4 cannot be opened as a video"):
        open_source(str(path))


def test_truncated_video_says_how_much_is_left(test_data, tmp_path):
    whole = test_data / "videos" / "highway_cars_720p.mp4"
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole.read_bytes()[:1_500_000])
    with open_source(str(path)) as source:
        frames = source.frames()
        assert len(list(itertools.islice(frames, 50))) == 50
        with pytest.raises(SourceError, match=r"cut\.mp4 ends after \d+ of 335 frames"):
            list(frames)


@pytest.mark.parametrize("spec", ["", "  "])
def test_an_empty_name_is_no_source(spec):
    with pytest.raises(SourceError, match="no source is named"):
        open_source(spec)


@pytest.fixture
def web_folder(tmp_path):
    """A folder and the address it is served at."""
    handler = functools.partial(QuietHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield tmp_path, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words):
        pass


def test_a_recording_on_the_web_ends_where_it_ends(web_folder):
    folder, address = web_folder
    write_video(folder / "clip.mp4", count=20)
    notices = []
    with open_source(f"{address}/clip.mp4", on_notice=notices.append) as source:
        assert [frame.index for frame in itertools.islice(source.frames(), 50)] == list(range(20))
    with open_source(f"{address}/clip.mp4", loop=True, on_notice=notices.append) as source:
        assert [frame.index for frame in itertools.islice(source.frames(), 50)] == list(range(50))
    assert not notices


class SilentCamera:
    """A stream that can be opened and gives no picture, however often."""

    def __init__(self):
        self.released = 0

    size_wh = (1, 1)
    frames_per_s = None

    def next_picture(self, *, within_s):
        return None

    def close(self):
        self.released += 1


def test_a_stream_that_opens_and_gives_no_picture_ends_with_one_error(monkeypatch):
    cameras = []
    monkeypatch.setattr(streams, "open_network_decoder", lambda url: cameras.append(SilentCamera()) or cameras[-1])
    notices = []
    source = StreamSource("rtsp://cam", "cam", reconnect_delays_s=(0.0,) * 3, on_notice=notices.append)
    with source, pytest.raises(SourceError, match="could not be reached again in 3 attempts"):
        next(source.frames())
    assert [notice[-8:] for notice in notices] == ["(1 of 3)", "(2 of 3)", "(3 of 3)"]
    assert all(camera.released for camera in cameras)


def test_no_camera():
    with pytest.raises(SourceError, match="camera 97 does not exist"):
        open_source("97")
    with pytest.raises(SourceError, match="camera 97 does not exist"):
        open_source("/dev/video97")


@pytest.mark.parametrize(
    "options", ["seed=x", "colour=red", "width=1", "width=99999999", "fps=0", "fps=nan", "seed=-1"]
)
def test_synthetic_options_are_checked(options):
    with pytest.raises(SourceError, match="synthetic"):
        open_source(f"synthetic?{options}")


def test_secrets_do_not_reach_messages():
    assert public_address("rtsp://user:secret@cam.local:554/live?token=1") == "rtsp://cam.local:554/live"
    assert public_address("rtsp://cam.local/live") == "rtsp://cam.local/live"
    with pytest.raises(SourceError, match="cannot be opened") as caught:
        open_source("rtsp://user:secret@127.0.0.1:9/live")
    assert "secret" not in str(caught.value)
