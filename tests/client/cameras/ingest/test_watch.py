"""One camera over real sockets, with every fault that a camera has; our own server and GStreamer's."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
from pathlib import Path

import pytest

from photofinish.client.cameras.streams.server import StreamServer
from photofinish.client.cameras.streams.stream import StreamFaults, TestStream
from photofinish.client.cameras.values.camera import Camera
from photofinish.client.cameras.values.status import IngestPhase, IngestProblem
from tests.client.cameras.ingest.watching import Watched, until
from tests.client.cameras.streams.test_server import moving_clip
from tests.client.sources.test_rtsp import rtsp_server, system_python  # noqa: F401
from tests.ports import free_port

H264, HEVC = moving_clip("h264"), moving_clip("hevc")


def camera_at(url: str, **fields: object) -> Camera:
    return Camera(**{"name": "door", "url": url, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize("clip", [H264, HEVC], ids=["h264", "hevc"])
@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_pictures_come_with_the_cameras_time(clip, algorithm):
    async def main() -> None:
        stream = TestStream(clip=clip, frames_per_s=25, user="admin", password="p@/s", algorithm=algorithm)
        async with StreamServer({"cam": stream}) as server:
            seen = Watched(camera_at(server.url("cam"), user="admin", password="p@/s"))
            await seen.pictures(60)
            await seen.until(lambda report: report.measured_fps is not None)
            seen.watch.stop()
        assert [unit.is_keyframe for unit in seen.units[:11]] == [True, *[False] * 9, True]
        assert {unit.clock for unit in seen.units[1:]} == {"rtcp"}
        ages_ms = sorted((unit.arrived_ns - unit.captured_ns) / 1e6 for unit in seen.units[1:])
        assert ages_ms[len(ages_ms) // 10] < 30, "an interval of 40 ms would be what a demuxer adds to each"
        report = seen.now
        assert report.measured_fps == pytest.approx(25, rel=0.2)
        assert report.keyframe_interval_s == pytest.approx(0.4, rel=0.5)
        assert (report.codec, report.announced_fps, report.lost_packets) == (clip.codec, 25, 0)
        assert "p@/s" not in repr(report) + repr(seen.reports)

    asyncio.run(main())


def test_refusals_are_told_apart_and_tried_again() -> None:
    async def main() -> None:
        faults = {
            "missing": (StreamFaults(status=404), IngestProblem.NOT_FOUND, "nothing at this path"),
            "locked": (StreamFaults(status=401), IngestProblem.AUTHENTICATION, "refuses the user and password"),
            "broken": (StreamFaults(status=500), IngestProblem.PROTOCOL, "answers DESCRIBE with '500"),
        }
        streams = {path: TestStream(clip=H264, faults=given) for path, (given, _, _) in faults.items()}
        async with StreamServer(streams) as server:

            async def refused_and_tried_again(path: str) -> None:
                _, problem, text = faults[path]
                seen = Watched(camera_at(server.url(path), user="admin", password="secret!"))
                report = await seen.waiting()
                assert report.problem is problem
                assert text in report.message
                assert "secret!" not in repr(seen.reports)
                told = next(item for item in seen.reports if item.phase is IngestPhase.WAITING)
                assert told.next_try_s == pytest.approx(1, abs=0.3)
                streams[path].faults.status = 0
                await seen.pictures(1)
                seen.watch.stop()

            await asyncio.gather(*map(refused_and_tried_again, faults))
            nobody = Watched(camera_at(server.url("locked")))
            streams["locked"].user = "admin"
            assert "wants a user and a password" in (await nobody.waiting()).message
            nobody.watch.stop()
        refused = Watched(camera_at(f"rtsp://127.0.0.1:{free_port()}/cam"))
        assert (await refused.waiting()).problem is IngestProblem.REFUSED
        refused.watch.stop()

    asyncio.run(main())


def test_a_camera_that_comes_late_and_one_that_restarts_with_another_codec() -> None:
    async def main() -> None:
        port = free_port()
        seen = Watched(camera_at(f"rtsp://127.0.0.1:{port}/cam"))
        await seen.waiting()
        async with StreamServer({"cam": TestStream(clip=H264, frames_per_s=25)}, port=port):
            await seen.pictures(3)
        assert (await seen.waiting()).problem is IngestProblem.ENDED
        async with StreamServer({"cam": TestStream(clip=HEVC, frames_per_s=25)}, port=port):
            await seen.pictures(3, timeout_s=60)
            seen.watch.stop()
        assert [info.codec for info in seen.infos] == ["h264", "hevc"]
        assert {unit.connection for unit in seen.units} == {1, 2}

    asyncio.run(main())


def test_two_hundred_reconnections_leave_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("photofinish.client.cameras.ingest.retry.DELAYS_S", (0.001,))

    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    async def main() -> None:
        stream = TestStream(clip=H264, frames_per_s=25)
        async with StreamServer({"cam": stream}) as server:
            seen, before = Watched(camera_at(server.url("cam"))), 0
            for number in range(200):
                await until(lambda number=number: stream.connections > number)  # type: ignore[misc]
                before = before or descriptors()
                server.cut_connections("cam")
                await asyncio.sleep(0)
            await seen.pictures(3)
            assert seen.now.connections >= 150
            assert descriptors() <= before + 2
            assert len(asyncio.all_tasks()) < 10
            seen.watch.stop()

    asyncio.run(main())


@pytest.mark.parametrize("fault", ["stalled", "dead"])
def test_a_stall_is_a_time_without_pictures(fault: str) -> None:
    async def main() -> None:
        stream = TestStream(clip=H264, frames_per_s=25)
        async with StreamServer({"cam": stream}) as server:
            seen = Watched(camera_at(server.url("cam"), stall_s=0.6))
            await seen.pictures(3)
            setattr(stream.faults, fault, True)
            report = await seen.waiting()
            assert report.problem is IngestProblem.STALL
            assert "no picture for" in report.message
            assert any(item.phase is IngestPhase.STALLED for item in seen.reports)
            setattr(stream.faults, fault, False)
            await seen.pictures(3, timeout_s=60)
            assert seen.now.stalls >= 1
            seen.watch.stop()

    asyncio.run(main())


def test_a_clock_years_off_loss_garbage_and_a_lie_about_the_rate() -> None:
    async def main() -> None:
        streams = {
            "clock": TestStream(clip=H264, frames_per_s=25, faults=StreamFaults(clock_offset_s=-3e8)),
            "none": TestStream(clip=H264, frames_per_s=25, faults=StreamFaults(has_clock=False)),
            "loss": TestStream(clip=H264, frames_per_s=50, faults=StreamFaults(loss=0.2)),
            "rate": TestStream(clip=H264, frames_per_s=25, faults=StreamFaults(announced_fps=100)),
            "garbage": TestStream(clip=H264, frames_per_s=100, faults=StreamFaults(garbage=True)),
        }
        async with StreamServer(streams) as server:
            seen = {path: Watched(camera_at(server.url(path))) for path in streams}
            await asyncio.gather(*(seen[path].pictures(60) for path in ("clock", "none", "loss", "rate")))
            for path in ("clock", "none"):
                assert {unit.clock for unit in seen[path].units} == {"arrival"}
            offset_ms = seen["clock"].now.offset_ms
            assert offset_ms is not None
            assert offset_ms < -1e11
            assert seen["none"].now.offset_ms is None
            assert seen["loss"].now.lost_packets > 0
            assert any(unit.is_after_loss for unit in seen["loss"].units)
            assert seen["rate"].now.announced_fps == 100
            assert seen["rate"].now.measured_fps == pytest.approx(25, rel=0.2)
            await seen["garbage"].until(lambda report: report.connections >= 1)
            for item in seen.values():
                item.watch.stop()

    asyncio.run(main())


def test_encrypted(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=camera"]
    subprocess.run([*words, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def main() -> None:
        streams = {"cam": TestStream(clip=H264, frames_per_s=25)}
        async with StreamServer(streams, tls=context) as server, StreamServer(streams) as plain:
            seen = Watched(camera_at(server.url("cam")))
            await seen.pictures(3)
            seen.watch.stop()
            wrong = Watched(camera_at(plain.url("cam").replace("rtsp://", "rtsps://")))
            report = await wrong.waiting()
            assert report.problem in (IngestProblem.TLS, IngestProblem.TIMEOUT, IngestProblem.UNREACHABLE)
            wrong.watch.stop()

    asyncio.run(main())


def test_what_is_no_rtsp_at_all_is_told() -> None:
    async def main() -> None:
        async def page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"<html>" * 1000)
            with contextlib.suppress(ConnectionError):
                await writer.drain()

        server = await asyncio.start_server(page, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        seen = Watched(camera_at(f"rtsp://127.0.0.1:{port}/cam"))
        assert "is this address one of RTSP?" in (await seen.waiting()).message
        seen.watch.stop()
        server.close()

    asyncio.run(main())


def test_files_play_at_their_own_pace_and_again(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    words = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=size=160x96:rate=25", "-t", "0.6"]
    subprocess.run([*words, "-c:v", "libx264", "-bf", "0", str(path)], check=True)

    async def main() -> None:
        seen = Watched(camera_at(str(path)))
        await seen.pictures(40)
        seen.watch.stop()
        assert seen.infos[0].codec == "h264"
        assert seen.units[0].data.startswith(b"\x00\x00\x00\x01")
        assert seen.units[0].is_keyframe
        span_s = (seen.units[39].arrived_ns - seen.units[0].arrived_ns) / 1e9
        assert 0.7 * 39 / 25 < span_s < 10, "as fast as it can be read it takes 10 ms"
        gone = Watched(camera_at(str(tmp_path / "gone.mp4")))
        assert (await gone.waiting()).problem is IngestProblem.NOT_FOUND
        gone.watch.stop()

    asyncio.run(main())


@pytest.mark.parametrize(("name", "count"), [("still.jpg", 1), ("raw.h264", 3)])
def test_a_file_without_a_second_pass_has_ended(tmp_path: Path, name: str, count: int) -> None:
    """A thread sought the beginning of a still picture as fast as a core can, until the camera was given up."""
    words = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=size=160x96:rate=25", "-frames:v", str(count)]
    subprocess.run([*words, str(tmp_path / name)], check=True)

    async def main() -> None:
        seen = Watched(camera_at(str(tmp_path / name), stall_s=300.0))
        report = await seen.waiting()
        seen.watch.stop()
        assert (report.message, len(seen.units)) == ("the source has ended", count)

    asyncio.run(main())


@pytest.mark.parametrize("words", [(), ("digest", "p@/[s%s ä:?#"), ("basic", "p@/[s%s ä:?#"), ("udp",)])
def test_gstreamers_server(system_python, words):  # noqa: F811
    """A second implementation; over UDP alone FFmpeg reads it."""
    with rtsp_server(system_python, 0, *words) as port:

        async def main() -> None:
            password = words[1] if len(words) > 1 else ""
            url = f"rtsp://127.0.0.1:{port}/cam"
            seen = Watched(camera_at(url, user="admin" if password else "", password=password))
            await seen.pictures(55, timeout_s=60)
            await seen.until(lambda report: report.measured_fps is not None)
            if words != ("udp",):
                await seen.until(lambda report: report.clock == "rtcp")
            seen.watch.stop()
            assert seen.infos[0].codec == "h264"
            assert any(unit.is_keyframe for unit in seen.units[:11])
            assert seen.now.measured_fps == pytest.approx(25, rel=0.2)

        asyncio.run(main())


def test_gstreamers_refusals_are_told_apart(system_python):  # noqa: F811
    with rtsp_server(system_python, 0, "digest", "right") as port:

        async def main() -> None:
            rows = {"cam": ("wrong", IngestProblem.AUTHENTICATION), "nothing": ("right", IngestProblem.NOT_FOUND)}
            for path, (password, problem) in rows.items():
                seen = Watched(camera_at(f"rtsp://127.0.0.1:{port}/{path}", user="admin", password=password))
                assert (await seen.waiting()).problem is problem
                seen.watch.stop()

        asyncio.run(main())


def test_gstreamers_server_that_is_killed_and_comes_back(system_python):  # noqa: F811
    async def main(stack: contextlib.ExitStack) -> None:
        first = stack.enter_context(contextlib.ExitStack())
        port = await asyncio.to_thread(first.enter_context, rtsp_server(system_python))
        seen = Watched(camera_at(f"rtsp://127.0.0.1:{port}/cam"))
        await seen.pictures(10, timeout_s=60)
        first.close()
        report = await seen.waiting()
        assert report.problem in (IngestProblem.ENDED, IngestProblem.REFUSED)
        await asyncio.to_thread(stack.enter_context, rtsp_server(system_python, port))
        await seen.pictures(10, timeout_s=60)
        seen.watch.stop()
        assert {unit.connection for unit in seen.units} == {1, 2}

    with contextlib.ExitStack() as stack:
        asyncio.run(main(stack))


def test_a_camera_that_sends_pictures_over_http() -> None:
    import cv2
    import numpy as np

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=cut\r\n\r\n")
        jpeg = cv2.imencode(".jpg", np.full((64, 96, 3), 90, np.uint8))[1].tobytes()
        with contextlib.suppress(ConnectionError):
            for _ in range(200):
                head = f"--cut\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                writer.write(head.encode() + jpeg + b"\r\n")
                await writer.drain()
                await asyncio.sleep(0.04)
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        seen = Watched(camera_at(f"http://127.0.0.1:{port}/video"))
        await seen.pictures(20, timeout_s=60)
        seen.watch.stop()
        assert seen.infos[0].codec == "mjpeg"
        assert all(unit.is_keyframe for unit in seen.units)
        server.close()

    asyncio.run(main())


def test_what_a_camera_says_is_short_and_nothing_that_a_terminal_obeys() -> None:
    """It stands in the table of a terminal, and is told once a second."""

    async def main() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            there = b"rtsp://a\x1bc\x07" + b"x" * 50_000 + b"/"
            writer.write(b"RTSP/1.0 302 \x1b[2J\r\nCSeq: 1\r\nLocation: " + there + b"\r\n\r\n")

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        url = f"rtsp://127.0.0.1:{server.sockets[0].getsockname()[1]}/x"
        watched = Watched(Camera(name="cam", url=url, user="viewer", password="pw", transport="udp"))
        report = await watched.waiting()
        watched.watch.stop()
        server.close()
        assert report.message.startswith("the camera sends us to a?c?xxx")
        for said in (report.message, *report.lines):
            assert said.isprintable()
            assert len(said) < 400

    asyncio.run(main())
