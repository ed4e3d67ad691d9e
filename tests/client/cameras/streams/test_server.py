"""The test streams as another client sees them: FFmpeg, by PyAV."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import av
import numpy as np
import pytest

from photofinish.client.cameras.streams.clip import Clip, ClipCodec, clip_from_images, clip_from_source, synthetic_spec
from photofinish.client.cameras.streams.server import StreamServer
from photofinish.client.cameras.streams.stream import StreamFaults, TestStream, late_p99_ms

OPTIONS = {"rtsp_transport": "tcp", "allowed_media_types": "video"}


def moving_clip(codec: ClipCodec = "h264", size_wh: tuple[int, int] = (160, 96), count: int = 20) -> Clip:
    """A bright square that moves over noise; a keyframe every 10 pictures."""
    rng = np.random.default_rng(0)
    images = []
    for number in range(count):
        image = rng.integers(0, 60, (size_wh[1], size_wh[0], 3), dtype=np.uint8)
        image[20:50, 4 * number : 4 * number + 30] = 250
        images.append(image)
    return clip_from_images(images, codec=codec, frames_per_s=25)


@contextmanager
def serving(streams: Mapping[str, TestStream]) -> Iterator[StreamServer]:
    """A server in a thread of its own."""
    loop = asyncio.new_event_loop()
    server = StreamServer(streams)
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(60)
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(server.__aexit__(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60)
        loop.close()


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_ffmpeg_plays_it(codec: ClipCodec) -> None:
    stream = TestStream(clip=moving_clip(codec), frames_per_s=25, user="admin", password="p@ss")
    with serving({"cam": stream}) as server:
        url = server.url("cam").replace("rtsp://", "rtsp://admin:p%40ss@")
        with av.open(url, options=OPTIONS, timeout=60) as container:
            assert container.streams.video[0].codec_context.name == codec
            pictures = list(itertools.islice(container.decode(video=0), 12))
        assert [(picture.width, picture.height) for picture in pictures] == [(160, 96)] * 12
        assert pictures[0].to_ndarray(format="gray")[30, 10] > 200
        with pytest.raises(av.HTTPUnauthorizedError):
            av.open(server.url("cam"), options=OPTIONS, timeout=60)
        with pytest.raises(av.HTTPNotFoundError):
            av.open(server.url("other"), options=OPTIONS, timeout=60)
    assert stream.connections == 1
    assert late_p99_ms([stream]) is None


def test_faults_are_injected_while_it_runs() -> None:
    stream = TestStream(clip=moving_clip(), frames_per_s=50)
    with serving({"cam": stream}) as server:
        stream.faults.refuse_tcp = True
        with pytest.raises(av.FFmpegError):
            av.open(server.url("cam"), options=OPTIONS, timeout=60)
        stream.faults = StreamFaults(announced_fps=99)
        with av.open(server.url("cam"), options=OPTIONS, timeout=(60, 2)) as container:
            packets = container.demux(video=0)
            next(packets)
            stream.faults.stalled = True
            with pytest.raises(av.FFmpegError):
                for _ in packets:
                    pass


def test_a_clip_of_the_synthetic_camera() -> None:
    clip = clip_from_source(synthetic_spec(3, (128, 96), 5), size_wh=(128, 96), frames_per_s=5, seconds=2.4)
    assert len(clip.pictures) == 12
    assert [number for number, picture in enumerate(clip.pictures) if picture.is_keyframe] == [0, 10]
    assert clip.parameter_sets
