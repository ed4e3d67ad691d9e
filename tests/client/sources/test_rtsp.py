"""Real RTSP: a GStreamer server on loopback, watched as a user would."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from photofinish.address.credentials import address_with_credentials
from photofinish.client.pipeline.opening import OptimisedPipeline
from photofinish.client.sources.opening import open_source
from photofinish.client.sources.streams import StreamSource
from photofinish.errors import SourceError
from tests.client.fake_triton import FakeTriton

SYSTEM_PYTHON = "/usr/bin/python3"
SCRIPT = Path(__file__).with_name("rtsp_server.py")
PROBE = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"


@pytest.fixture(scope="session")
def system_python() -> str:
    if not Path(SYSTEM_PYTHON).exists() or subprocess.run([SYSTEM_PYTHON, "-c", PROBE], capture_output=True).returncode:
        pytest.skip("no GStreamer RTSP server: apt-get install gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-ugly")
    return SYSTEM_PYTHON


@contextlib.contextmanager
def rtsp_server(python: str, port: int = 0, *words: str) -> Iterator[int]:
    """The port of a server that runs while the block does."""
    process = subprocess.Popen(
        [python, str(SCRIPT), str(port), *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


def test_a_stream_comes_through_the_pipeline(system_python):
    with rtsp_server(system_python) as port, FakeTriton() as server:
        with open_source(f"rtsp://127.0.0.1:{port}/cam") as source:
            assert source.is_live
            assert source.size_wh == (320, 240)
            with OptimisedPipeline(server.url, "toy_onnx_fp32", drop_late=True) as pipeline:
                results = list(itertools.islice(pipeline.run(source.frames()), 10))
    indices = [result.frame.index for result in results]
    assert indices == sorted(set(indices))
    assert results[0].frame.stream_id == f"rtsp://127.0.0.1:{port}/cam"
    assert results[0].frame.image_hwc_bgr.any()


def test_a_camera_that_restarts_is_reached_again(system_python):
    notices: list[str] = []
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(contextlib.ExitStack())
        port = first.enter_context(rtsp_server(system_python))
        source = StreamSource(
            f"rtsp://127.0.0.1:{port}/cam", "cam", reconnect_delays_s=(0.2,) * 50, on_notice=notices.append
        )
        stack.enter_context(source)
        frames = source.frames()
        before = list(itertools.islice(frames, 5))
        first.close()
        stack.enter_context(rtsp_server(system_python, port))
        after = list(itertools.islice(frames, 60))
    assert [frame.index for frame in before + after] == list(range(65))
    assert notices
    assert "reconnecting (1 of 50)" in notices[0]


def test_a_camera_that_stays_away_ends_with_one_error(system_python):
    with rtsp_server(system_python) as port:
        source = StreamSource(f"rtsp://127.0.0.1:{port}/cam", "cam", reconnect_delays_s=(0.05, 0.05))
        frames = source.frames()
        next(frames)
    begun = time.monotonic()
    with source, pytest.raises(SourceError, match="could not be reached again in 2 attempts"):
        list(frames)
    assert time.monotonic() - begun < 20


def test_a_camera_that_refuses_tcp_is_read_over_udp(system_python):
    with rtsp_server(system_python, 0, "udp") as port, open_source(f"rtsp://127.0.0.1:{port}/cam") as source:
        assert len(list(itertools.islice(source.frames(), 5))) == 5


@pytest.mark.parametrize("kind", ["basic", "digest"])
def test_any_password_opens_a_camera(system_python, kind):
    password = "p@/[s%s ä:?#"
    with rtsp_server(system_python, 0, kind, password) as port:
        url = f"rtsp://127.0.0.1:{port}/cam"
        with open_source(address_with_credentials(url, "admin", password)) as source:
            assert source.name == url
            assert next(source.frames()).stream_id == url
        for credentials in ("admin:hunter2@", ""):
            with pytest.raises(SourceError, match="it refuses the user and password, or wants some") as caught:
                open_source(f"rtsp://{credentials}127.0.0.1:{port}/cam")
            assert "hunter2" not in "".join(traceback.format_exception(caught.value))
            assert "percent-encoded" in str(caught.value)


def test_times_go_on_over_a_reconnection(system_python):
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(contextlib.ExitStack())
        port = first.enter_context(rtsp_server(system_python))
        source = stack.enter_context(
            StreamSource(f"rtsp://127.0.0.1:{port}/cam", "cam", reconnect_delays_s=(0.2,) * 50)
        )
        frames = source.frames()
        before = list(itertools.islice(frames, 5))
        first.close()
        stack.enter_context(rtsp_server(system_python, port))
        after = list(itertools.islice(frames, 5))
    times_ns = [frame.presented_ns for frame in (*before, *after)]
    assert times_ns[0] == 0
    assert times_ns == sorted(set(times_ns))
    gap_s = (after[0].captured_ns - before[-1].captured_ns) / 1e9
    assert (after[0].presented_ns - before[-1].presented_ns) / 1e9 == pytest.approx(gap_s, abs=1)
