"""Streams that need no server of their own kind."""

from __future__ import annotations

import contextlib
import itertools
import socket
import subprocess
from collections.abc import Iterator

import pytest

from photofinish.client.sources import streams
from photofinish.client.sources.opening import open_source
from photofinish.client.sources.streams import StreamSource
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
