"""Streams that need no server of their own kind."""

from __future__ import annotations

import contextlib
import itertools
import socket
import subprocess
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest

from photofinish.client.sources import streams
from photofinish.client.sources.opening import open_source
from photofinish.client.sources.streams import StreamSource, open_network_decoder
from photofinish.errors import SourceError
from tests.client.sources.clips import H264, make_clip


@contextlib.contextmanager
def sent_by_udp(path: object) -> Iterator[str]:
    """The address that a transport stream is sent to, again and again, at its own pace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        url = f"udp://127.0.0.1:{free.getsockname()[1]}"
    command = ["ffmpeg", "-loglevel", "quiet", "-nostdin", "-re", "-stream_loop", "-1", "-i", str(path), "-c", "copy"]
    process = subprocess.Popen([*command, "-f", "mpegts", f"{url}?pkt_size=1316"])
    try:
        yield url
    finally:
        process.kill()
        process.wait()


def test_a_transport_stream_by_udp(tmp_path):
    path = make_clip(tmp_path / "a.ts", *H264, "-g", "5", seconds=2)
    with sent_by_udp(path) as url, open_source(url) as source:
        assert isinstance(source, StreamSource)
        frames = list(itertools.islice(source.frames(), 60))
    assert [frame.index for frame in frames] == list(range(60))
    times_ns = [frame.presented_ns for frame in frames]
    assert times_ns == sorted(set(times_ns))
    assert times_ns[-1] < 10e9


def test_a_stream_that_sends_data_without_pictures_ends(monkeypatch):
    """Packets that no picture comes of must not be waited for for ever."""
    waits = []

    class Noise:
        size_wh, frames_per_s = (1, 1), None

        def next_picture(self, *, within_s):
            waits.append(within_s)

        def close(self):
            pass

    monkeypatch.setattr(streams, "open_network_decoder", lambda url: Noise())
    with StreamSource("rtsp://cam", "cam") as source, pytest.raises(SourceError, match="cam stopped after 0 frames"):
        next(source.frames())
    assert waits == [streams.NO_PICTURE_S]


PICTURE = np.zeros((64, 96, 3), np.uint8)


class Stamped:
    """A decoder whose pictures come as their time stamps say, or not."""

    size_wh, frames_per_s, has_times = (96, 64), 25.0, True

    def __init__(self, stamps_s, *, is_playlist=False):
        self.is_playlist = is_playlist
        self._pictures = iter(stamps_s)

    def next_picture(self, within_s):
        stamp_s = next(self._pictures, None)
        return (
            None if stamp_s is None else SimpleNamespace(presented_ns=int(stamp_s * 1e9), image_hwc_bgr=lambda: PICTURE)
        )

    def close(self):
        pass


@pytest.mark.parametrize(
    ("stamp_s", "arrival_s", "is_playlist", "last_s"),
    [
        (0.04, 0.04, False, 7.96),
        (0.04, 0.05, False, 7.96),  # 2 s late after 10 s: a slow machine
        (0.04, 0.2, False, 39.8),  # a camera of 5 pictures a second that says 25
        (0.2, 0.04, False, 39.8 - 31.84),  # and the other way round
        (0.2, 0.001, True, 39.8),  # parts of a playlist come at once
    ],
)
def test_a_streams_own_times_count_while_they_are_those_of_a_camera(stamp_s, arrival_s, is_playlist, last_s):
    moments_ns = itertools.count(0, int(arrival_s * 1e9))
    decoder = Stamped((number * stamp_s for number in range(200)), is_playlist=is_playlist)
    source = StreamSource("rtsp://cam", "cam", decoder=decoder, clock=lambda: next(moments_ns))
    times_ns = [frame.presented_ns for frame in itertools.islice(source.frames(), 200)]
    assert times_ns == sorted(set(times_ns))
    assert times_ns[-1] / 1e9 == pytest.approx(last_s, abs=0.01)


def test_a_camera_that_connects_and_says_nothing_is_told_apart_from_what_is_no_video(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams, "OPEN_TIMEOUT_S", 0.6)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"rtsp://127.0.0.1:{listener.getsockname()[1]}/live"
        with pytest.raises(SourceError, match=r"cannot be opened within 1 s \(no answer\); check the address and that"):
            open_network_decoder(url)
