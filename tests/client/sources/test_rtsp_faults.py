"""A camera that is killed, stalls, or comes back as another one: how long until its pictures come again.

The clock of the machine jumps by a day as well.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from photofinish.client.detect.detecting import detect_in_source
from photofinish.client.pipeline.opening import open_pipeline
from photofinish.client.sources import streams
from photofinish.client.sources.opening import open_source
from photofinish.frame import Frame
from tests.client.fake_triton import FakeTriton
from tests.client.sources.test_rtsp import SCRIPT, system_python

__all__ = ["system_python"]

SMALL, LARGE, OTHER = "h264:320x240@25", "h264:640x360@25", "mjpeg:480x320@25"
BACK_S = 8.0
"""What is promised of a camera that answers again; the waits between two attempts are 0.5, 1, 2, 4 and 8 s."""
JUMPING_CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>
static int (*real)(clockid_t, struct timespec *);
static long begun;
static long jump(void) {  /* a day forth 1.5 s after the first look, two days back a second later */
  struct timespec now;
  real(CLOCK_MONOTONIC, &now);
  long ms = now.tv_sec * 1000 + now.tv_nsec / 1000000;
  if (!begun) begun = ms;
  return ms - begun < 1500 ? 0 : ms - begun < 2500 ? 86400 : -86400;
}
int clock_gettime(clockid_t id, struct timespec *out) {
  if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  int code = real(id, out);
  if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE) out->tv_sec += jump();
  return code;
}
int gettimeofday(struct timeval *out, void *zone) {
  struct timespec now;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &now);
  out->tv_sec = now.tv_sec;
  out->tv_usec = now.tv_nsec / 1000;
  return 0;
}
time_t time(time_t *out) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (out) *out = now.tv_sec;
  return now.tv_sec;
}
"""

JUMPS = """
import time
at, jumps, until = time.time(), [], time.monotonic() + 4
while len(jumps) < 2 and time.monotonic() < until:
    time.sleep(0.01)
    now = time.time()
    if abs(now - at) > 3600:
        jumps.append(now - at)
    at = now
print(*jumps)
"""


class OneCamera:
    """An RTSP server on one port, which is started and killed."""

    def __init__(self, python: str) -> None:
        self._python = python
        self.port = 0
        self.process: subprocess.Popen[str] | None = None

    def start(self, kind: str) -> None:
        command = [self._python, str(SCRIPT), str(self.port), kind]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        self.port = int(self.process.stdout.readline())

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.communicate()

    def send(self, number: int) -> None:
        assert self.process
        self.process.send_signal(number)


@pytest.fixture
def camera(system_python: str) -> Iterator[OneCamera]:
    camera = OneCamera(system_python)
    camera.start(SMALL)
    yield camera
    camera.kill()


def seconds_until(frames: Iterator[Frame], size_wh: tuple[int, int], begun: float) -> float:
    """From `begun` to the third picture of that size."""
    for _ in itertools.islice((frame for frame in frames if frame.size_wh == size_wh), 3):
        pass
    return time.monotonic() - begun


@pytest.mark.parametrize(("kind", "size_wh"), [(SMALL, (320, 240)), (LARGE, (640, 360)), (OTHER, (480, 320))])
def test_a_camera_that_comes_back_is_read_again_whatever_it_sends(
    camera: OneCamera, kind: str, size_wh: tuple[int, int]
) -> None:
    with open_source(f"rtsp://127.0.0.1:{camera.port}/cam") as source:
        frames = source.frames()
        before = list(itertools.islice(frames, 5))
        camera.kill()
        camera.start(kind)
        assert seconds_until(frames, size_wh, time.monotonic()) < BACK_S
        after = next(frames)
    assert after.index > before[-1].index
    assert after.presented_ns is not None
    assert before[-1].presented_ns is not None
    assert after.presented_ns > before[-1].presented_ns


def test_a_camera_that_stalls_longer_than_we_wait_is_back(camera: OneCamera, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "READ_TIMEOUT_S", 1.0)
    notices: list[str] = []
    with open_source(f"rtsp://127.0.0.1:{camera.port}/cam", on_notice=notices.append) as source:
        frames = source.frames()
        list(itertools.islice(frames, 5))
        camera.send(signal.SIGSTOP)
        continued = threading.Timer(2.5, camera.send, (signal.SIGCONT,))
        continued.start()
        begun = time.monotonic()
        next(frame for frame in frames if notices)  # what was on its way comes first
        taken_s = time.monotonic() - begun - 2.5
    continued.join()
    assert taken_s < BACK_S
    assert "reconnecting (1 of 5)" in notices[0]


def test_a_saved_video_goes_on_over_a_camera_with_another_size(camera: OneCamera, tmp_path: Path) -> None:
    began_again = threading.Event()

    def restart() -> None:
        began_again.wait(60)
        camera.kill()
        camera.start(OTHER)

    thread = threading.Thread(target=restart)
    thread.start()
    begun = time.monotonic()
    with FakeTriton() as server, open_source(f"rtsp://127.0.0.1:{camera.port}/cam") as source:
        with open_pipeline(server.url) as pipeline:
            summary = detect_in_source(
                source, pipeline, save_folder=tmp_path, frame_limit=60, on_result=lambda *_: began_again.set()
            )
    wall_s = time.monotonic() - begun
    thread.join()
    assert summary.saved_to
    with av.open(str(summary.saved_to)) as saved:
        times_s = [frame.time for frame in saved.decode(video=0)]
        assert (saved.streams.video[0].width, saved.streams.video[0].height) == (320, 240)
    assert len(times_s) == summary.frame_count
    assert 1.0 < times_s[-1] < wall_s + 1


def test_a_clock_that_jumps_by_a_day_costs_no_frame(camera: OneCamera, tmp_path: Path) -> None:
    if not (compiler := shutil.which("cc")):
        pytest.skip("no C compiler here, which the library that lets the clock jump is made with")
    (tmp_path / "clock.c").write_text(JUMPING_CLOCK)
    library = tmp_path / "clock.so"
    words = [compiler, "-shared", "-fPIC", "-o", str(library), str(tmp_path / "clock.c"), "-ldl"]
    subprocess.run(words, check=True)
    environment = {**os.environ, "LD_PRELOAD": str(library)}
    done = subprocess.run([sys.executable, "-c", JUMPS], env=environment, capture_output=True, text=True, timeout=60)
    forth, back = sorted(map(float, done.stdout.split()), reverse=True)
    assert (forth > 86_000, back < -172_000) == (True, True), done
    with FakeTriton() as server:
        command = [sys.executable, "-m", "photofinish.cli", "detect", f"rtsp://127.0.0.1:{camera.port}/cam", "--json"]
        command += ["--url", server.url, "--frames", "150", "--save", str(tmp_path / "out")]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "failed" not in done.stderr
    assert "reconnecting" not in done.stderr
    times_s = [json.loads(line)["presented_s"] for line in done.stdout.splitlines()]
    assert times_s == sorted(set(times_s))
    assert 3 < times_s[-1] < 60
    with contextlib.closing(av.open(str(next((tmp_path / "out").iterdir())))) as saved:
        assert sum(1 for _ in saved.decode(video=0)) == len(times_s)
