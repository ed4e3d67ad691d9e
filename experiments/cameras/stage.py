"""Real cameras of two makers that break on demand, and a receiver of events: what the faults of cameras happen to.

Backs: docs/cameras.md, "our own RTSP server and GStreamer's"
"""

from __future__ import annotations

import asyncio
import http.server
import socket
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from experiments.cameras.running import HeardFrame, RunningCameras, write_list
from experiments.faults.injecting import RestartedCamera
from photofinish.client.cameras.streams.clip import Clip, ClipCodec, clip_from_source, synthetic_spec
from photofinish.client.cameras.streams.server import StreamServer
from photofinish.client.cameras.streams.stream import TestStream
from photofinish.client.cameras.values.camera import Camera

Value = TypeVar("Value")
STREAM_FPS = 10.0
WANTED_FPS = 5.0
STEADY = ("steady-1", "steady-2", "steady-3")
FAULTY, OTHER_MAKER, STEADY_OTHER = "faulty", "faulty-gst", "steady-gst"
FLAPPING = 16
USER, PASSWORD = "viewer", "secret-of-the-stage"
KINDS = ("h264:640x360@10", "h265:960x540@10", "mjpeg:320x240@10")


def clip_of_traffic(codec: ClipCodec = "h264", size_wh: tuple[int, int] = (640, 360), seed: int = 1) -> Clip:
    """Four seconds of the synthetic camera, with a keyframe every two."""
    spec = synthetic_spec(seed, size_wh, STREAM_FPS)
    return clip_from_source(spec, size_wh=size_wh, frames_per_s=STREAM_FPS, seconds=4.0, codec=codec)


class Receiver:
    """An HTTP server that takes events, on one port for its life. posted_at: when each request came."""

    def __init__(self) -> None:
        self.posted_at: list[float] = []
        self._server: http.server.ThreadingHTTPServer | None = None
        self.port = 0

    def start(self) -> None:
        """Listen, on the same port as before."""
        posted_at = self.posted_at

        class TakesEvents(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                posted_at.append(time.monotonic())
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *words: object) -> None:
                """Nobody reads it."""

        http.server.ThreadingHTTPServer.allow_reuse_address = True
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), TakesEvents)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Be gone."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class CameraStage:
    """Cameras of ours and of GStreamer's, and the command that watches them. frames: every inferred one, as it came."""

    def __init__(self, folder: Path, repository: Path, rtsp_python: str) -> None:
        self.folder = folder
        self.clips = {
            "plain": clip_of_traffic(),
            "another size": clip_of_traffic(size_wh=(960, 540), seed=2),
            "another codec": clip_of_traffic("hevc", seed=3),
        }
        self.streams = {name: self._stream() for name in (*STEADY, FAULTY)}
        self.faulty_server = StreamServer({FAULTY: self.streams[FAULTY]}, port=_free_port())
        self.steady_server = StreamServer(self.streams)
        self.other = RestartedCamera(rtsp_python, KINDS)
        self.steady_other = RestartedCamera(rtsp_python, (KINDS[0],))
        self.receiver = Receiver()
        self.frames: list[HeardFrame] = []
        self.cameras: dict[str, Camera] = {}
        self._list = folder / "cameras.toml"
        self._repository = repository
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def _stream(self) -> TestStream:
        return TestStream(clip=self.clips["plain"], frames_per_s=STREAM_FPS)

    def open(self) -> RunningCameras:
        """Serve everything; the command, not started yet."""
        self.do(self.steady_server.__aenter__)
        self.do(self.faulty_server.__aenter__)
        for each in (self.other, self.steady_other):
            each.start()
        self.receiver.start()
        self.cameras = {name: self._camera(name, self.steady_server.url(name)) for name in STEADY}
        self.cameras[FAULTY] = self._camera(FAULTY, self.faulty_server.url(FAULTY))
        for name, server in ((OTHER_MAKER, self.other), (STEADY_OTHER, self.steady_other)):
            self.cameras[name] = self._camera(name, f"rtsp://127.0.0.1:{server.port}/cam")
        self.write()
        words = [str(self._list), "--repository", str(self._repository), "--no-page", "--status-port", "0"]
        words += ["--webhook", f"http://127.0.0.1:{self.receiver.port}/hook"]
        return RunningCameras(words, self.folder / "cameras.log", self.frames.append)

    def close(self) -> None:
        """End what serves."""
        self.receiver.stop()
        for each in (self.other, self.steady_other):
            each.kill()
        self.do(self.steady_server.__aexit__)
        self.do(self.faulty_server.__aexit__)
        self._loop.call_soon_threadsafe(self._loop.stop)

    def do(self, work: Callable[[], Coroutine[Any, Any, Value]]) -> Value:
        """Run it in the servers' loop."""
        return asyncio.run_coroutine_threadsafe(work(), self._loop).result(30)

    def call(self, work: Callable[[], object]) -> None:
        """The same for something that does not wait."""

        async def run() -> None:
            work()

        self.do(run)

    def write(self) -> None:
        """The list as it is now; the command reads it again."""
        write_list(self._list, self.cameras.values())

    def change(self, name: str, **fields: object) -> None:
        """A camera's row in the list becomes another."""
        self.cameras[name] = replace(self.cameras[name], **fields)  # type: ignore[arg-type]
        self.write()

    def remove(self, name: str) -> Camera:
        """Take a camera off the list."""
        camera = self.cameras.pop(name)
        self.write()
        return camera

    def add(self, camera: Camera) -> None:
        """Put a camera on the list."""
        self.cameras[camera.name] = camera
        self.write()

    def reconnect(self, name: str = FAULTY) -> None:
        """Cut a camera's connections, as a restart does."""
        self.call(lambda: self.faulty_server.cut_connections(name))

    def flapping(self) -> list[Camera]:
        """More cameras at the faulty server, which are on no list yet."""
        names = [f"flapping-{number:02d}" for number in range(FLAPPING)]
        self.faulty_server.streams = {FAULTY: self.streams[FAULTY], **{name: self._stream() for name in names}}
        return [self._camera(name, self.faulty_server.url(name)) for name in names]

    @staticmethod
    def _camera(name: str, url: str) -> Camera:
        return Camera(name=name, url=url, frames_per_s=WANTED_FPS)


def _free_port() -> int:
    """The faulty server comes back on its port."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
