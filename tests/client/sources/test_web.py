"""Recordings and streams behind http addresses, from a real server on loopback."""

from __future__ import annotations

import base64
import contextlib
import functools
import http.server
import itertools
import threading
import time
import traceback
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from photofinish.address.credentials import address_with_credentials
from photofinish.client.detect.detecting import detect_in_source
from photofinish.client.pipeline.opening import open_pipeline
from photofinish.client.sources.opening import open_source
from photofinish.client.sources.recordings import VideoSource
from photofinish.client.sources.streams import StreamSource
from photofinish.errors import SourceError
from tests.client.fake_triton import FakeTriton
from tests.client.sources.clips import H264, make_clip

PASSWORD = "p@/[s%s ä:?#"
PIECE = 15_000


class Site(http.server.SimpleHTTPRequestHandler):
    """Files; below /broken/ a connection breaks after some bytes, /locked/ asks for a password, /mjpeg is a camera."""

    def log_message(self, *words):
        pass

    def do_GET(self):
        place, _, name = self.path.lstrip("/").partition("?")[0].partition("/")
        if place == "mjpeg":
            self.send_camera()
        elif place == "broken":
            self.send_a_piece((Path(self.directory) / name).read_bytes())
        elif place == "locked" and not self.is_let_in():
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="cam"')
            self.end_headers()
        else:
            self.path = f"/{name or place}"
            super().do_GET()

    def is_let_in(self):
        return self.headers.get("Authorization") == "Basic " + base64.b64encode(f"admin:{PASSWORD}".encode()).decode()

    def send_a_piece(self, content):
        start = int((self.headers.get("Range") or "bytes=0-").partition("=")[2].partition("-")[0])
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start : start + PIECE])

    def send_camera(self):
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
        self.end_headers()
        for level in range(20):
            picture = cv2.imencode(".jpg", np.full((64, 96, 3), 10 * level, np.uint8))[1].tobytes()
            head = b"--next\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(picture)
            with contextlib.suppress(OSError):  # nobody looks any more
                self.wfile.write(head + picture + b"\r\n")
            time.sleep(0.2 if "slowly" in self.path else 0.02)


@pytest.fixture
def site(tmp_path):
    """A folder and the address it is served at."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Site, directory=str(tmp_path))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield tmp_path, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def playlist(folder: Path, *words: object) -> Path:
    return make_clip(
        folder / "list.m3u8", *H264, "-g", "25", "-f", "hls", "-hls_time", "1", "-hls_list_size", "0", *words, seconds=4
    )


RECORDINGS = {
    "clip.mp4": lambda at: make_clip(at / "clip.mp4", seconds=2),
    "front.mp4": lambda at: make_clip(at / "front.mp4", *H264, "-movflags", "+faststart", seconds=2),
    "clip.mkv": lambda at: make_clip(at / "clip.mkv", seconds=2),
    "clip.ts": lambda at: make_clip(at / "clip.ts", seconds=2),
    "list.m3u8": lambda at: playlist(at, "-hls_playlist_type", "vod"),
    "broken/front.mp4": lambda at: make_clip(at / "front.mp4", *H264, "-movflags", "+faststart", seconds=3),
    "broken/clip.mkv": lambda at: make_clip(at / "clip.mkv", seconds=3),
}


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recording_gives_all_its_frames_however_slow_the_reader(site, name):
    folder, address = site
    RECORDINGS[name](folder)
    notices: list[str] = []
    with open_source(f"{address}/{name}?token=hunter2", on_notice=notices.append) as source:
        assert isinstance(source, VideoSource)
        assert not source.is_live
        frames = source.frames()
        first = [next(frames)]
        time.sleep(0.3)
        indices = [frame.index for frame in itertools.chain(first, frames)]
    count = {"list.m3u8": 100, "broken/front.mp4": 75, "broken/clip.mkv": 75}.get(name, 50)
    assert indices == list(range(count))
    assert not notices
    assert "hunter2" not in source.name


def test_a_recording_is_paced_and_repeated(site):
    folder, address = site
    make_clip(folder / "clip.mp4", *H264, seconds=0.4)
    with open_source(f"{address}/clip.mp4", loop=True, paced=True) as source:
        assert source.is_live
        begun = time.monotonic()
        frames = list(itertools.islice(source.frames(), 20))
    assert time.monotonic() - begun > 0.7
    assert frames[-1].index >= 19


def test_a_part_that_is_missing_is_told(site):
    folder, address = site
    playlist(folder, "-hls_playlist_type", "vod")
    (folder / "list2.ts").unlink()
    notices: list[str] = []
    with open_source(f"{address}/list.m3u8", on_notice=notices.append) as source:
        assert len(list(source.frames())) == 75
    assert notices == [f"{address}/list.m3u8: no pictures for 1.0 s of it; parts of its playlist may be missing"]


def test_a_playlist_that_goes_on_is_a_camera(site):
    folder, address = site
    path = playlist(folder)
    path.write_text(path.read_text().replace("#EXT-X-ENDLIST\n", ""))
    with open_source(f"{address}/list.m3u8") as source:
        assert isinstance(source, StreamSource)
        assert source.is_live


def test_a_camera_by_http_is_reached_again(site):
    notices: list[str] = []
    with open_source(f"{site[1]}/mjpeg?user=admin&password=hunter2", on_notice=notices.append) as source:
        assert isinstance(source, StreamSource)
        assert len(list(itertools.islice(source.frames(), 30))) == 30
    assert "reconnecting (1 of 5)" in notices[0]
    assert "hunter2" not in notices[0]


def test_a_camera_without_time_stamps_plays_at_its_real_speed(site):
    """Five pictures a second, of which FFmpeg says that they are 25: the saved video was five times too fast."""
    folder, address = site
    with (
        FakeTriton() as server,
        open_source(f"{address}/mjpeg?slowly") as source,
        open_pipeline(server.url) as pipeline,
    ):
        frames = list(itertools.islice(source.frames(), 9))
        summary = detect_in_source(source, pipeline, save_folder=folder / "out", frame_limit=8)
    times_ns = [frame.presented_ns for frame in frames]
    assert times_ns[0] == 0
    assert times_ns == sorted(set(times_ns))
    assert times_ns[-1] == frames[-1].captured_ns - frames[0].captured_ns
    # The first ones were there before anybody asked.
    assert times_ns[-1] - times_ns[3] > 0.8e9
    with av.open(str(summary.saved_to)) as saved:
        times_s = [frame.time for frame in saved.decode(video=0)]
    assert times_s[-1] > 0.15 * (len(times_s) - 1)


def test_a_password_for_a_recording(site):
    folder, address = site
    make_clip(folder / "clip.mp4", seconds=0.4)
    with open_source(address_with_credentials(f"{address}/locked/clip.mp4", "admin", PASSWORD)) as source:
        assert len(list(source.frames())) == 10
    wrong = address_with_credentials(f"{address}/locked/clip.mp4", "admin", "hunter2")
    with pytest.raises(SourceError, match="it refuses the user and password") as caught:
        open_source(wrong)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("name", "words"),
    [("nothing.mp4", "there is nothing at this path"), ("notes.txt", "notes.txt holds no video, only text")],
)
def test_what_is_no_video_is_told(site, name, words):
    (site[0] / "notes.txt").write_text("hello " * 1000)
    with pytest.raises(SourceError, match=words):
        open_source(f"{site[1]}/{name}")


def test_nobody_is_there():
    with pytest.raises(SourceError, match=r"cannot be opened within 5 s \(Connection refused\); check the address and"):
        open_source("http://admin:hunter2@127.0.0.1:9/clip.mp4")
