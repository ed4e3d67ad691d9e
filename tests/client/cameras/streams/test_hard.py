"""What makes test streams hard: keyframes all at once, connections that are cut; and whose turn it is before theirs."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass, field

import pytest

from photofinish.client.cameras.streams.launch import StreamProcesses
from photofinish.client.cameras.streams.process import is_cut, run_before_others
from photofinish.client.cameras.streams.server import StreamServer
from photofinish.client.cameras.streams.stream import TestStream
from photofinish.errors import SourceError
from tests.client.cameras.ingest.watching import until
from tests.client.cameras.streams.test_server import moving_clip

ALIGN_S = 0.2


@dataclass(slots=True, kw_only=True)
class HeardStream(TestStream):
    """planned_s: when each picture was to be sent."""

    __test__ = False
    planned_s: list[float] = field(default_factory=list)

    def note_sent(self, late_ns: int) -> None:
        self.planned_s.append(time.perf_counter() - late_ns / 1e9)


async def watch(port: int, path: str) -> None:
    """Ask for a stream, and let its pictures come."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for number, line in enumerate(("DESCRIBE {}", "SETUP {}/track1", "PLAY {}"), 1):
        first = line.format(f"rtsp://127.0.0.1:{port}/{path}")
        words = f"{first} RTSP/1.0\r\nCSeq: {number}\r\nTransport: RTP/AVP/TCP;interleaved=0-1\r\n\r\n"
        writer.write(words.encode())
        await reader.readuntil(b"\r\n\r\n")
    while await reader.read(65536):
        pass
    writer.close()


def test_keyframes_come_at_one_moment_whenever_a_camera_connects() -> None:
    async def run() -> list[float]:
        streams = {name: HeardStream(clip=moving_clip(), frames_per_s=50) for name in ("a", "b", "c")}
        async with StreamServer(streams, align_s=ALIGN_S) as server:
            tasks = []
            for name in streams:
                tasks.append(asyncio.ensure_future(watch(server.port, name)))
                await asyncio.sleep(0.07)
            await until(lambda: all(stream.planned_s for stream in streams.values()))
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return [stream.planned_s[0] for stream in streams.values()]

    for first_s in asyncio.run(run()):
        assert abs((first_s + ALIGN_S / 2) % ALIGN_S - ALIGN_S / 2) < 0.02


def test_every_fifth_stream_is_cut_again_and_again_and_a_process_that_ends_is_missed() -> None:
    assert [number for number in range(1, 12) if is_cut(number)] == [5, 10]

    async def run() -> None:
        async with StreamProcesses(5, size_wh=(64, 64), seconds=1, cut_every_s=0.5) as streams:
            cameras = {camera.name: camera.url for camera in streams.cameras(5)}
            port = int(cameras["test-005"].split(":")[2].partition("/")[0])
            for _ in range(2):
                await asyncio.wait_for(watch(port, "test-005"), 60)
            staying = asyncio.ensure_future(watch(port, "test-004"))
            await asyncio.sleep(1.2)
            assert not staying.done()
            staying.cancel()
            await streams.begin_window()
            assert streams.late_max_ms == [None]
            assert len(streams.pids) == 1
            os.kill(streams.pids[0], 9)
            with pytest.raises(SourceError, match="the test streams ended"):
                await streams.report()

    asyncio.run(run())


def test_streams_run_before_what_is_measured_where_this_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "sched_setscheduler", lambda pid, policy, way: asked.append((policy, way.sched_priority)))
    monkeypatch.setattr(os, "sched_getscheduler", lambda pid: os.SCHED_OTHER)
    run_before_others()
    assert asked.pop() == (os.SCHED_FIFO, 20)
    monkeypatch.setattr(os, "sched_getscheduler", lambda pid: os.SCHED_FIFO)
    monkeypatch.setattr(os, "sched_getparam", lambda pid: os.sched_param(10))
    run_before_others()
    assert asked == [(os.SCHED_FIFO, 11)]

    def refuse(pid: int, policy: int, way: os.sched_param) -> None:
        raise PermissionError("not allowed")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    run_before_others()
