"""Waits between attempts: longer each time, with jitter, for ever; and over at once when the camera is back."""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from photofinish.client.cameras.ingest.retry import StartPace, delay_s, host_and_port, is_open, wait_for_return
from photofinish.client.cameras.values.status import IngestProblem


def test_waits_grow_and_never_end() -> None:
    chance = random.Random(0)
    for attempts, plain in ((1, 1), (2, 2), (3, 5), (4, 10), (5, 30), (6, 60), (7, 60), (10_000, 60)):
        found = [delay_s(attempts, IngestProblem.AUTHENTICATION, chance) for _ in range(50)]
        assert min(found) >= 0.8 * plain
        assert max(found) <= 1.2 * plain
        assert len(set(found)) > 40, "cameras of one switch must not come back in one moment"


@pytest.mark.parametrize(
    "problem", [IngestProblem.NOT_FOUND, IngestProblem.PROTOCOL, IngestProblem.ENDED, IngestProblem.STALL]
)
def test_a_camera_that_is_there_is_tried_again_within_five_seconds_for_ever(problem: IngestProblem) -> None:
    found = [delay_s(attempts, problem, random.Random(attempts)) for attempts in range(3, 100)]
    assert 3 < min(found) < max(found) <= 5


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("rtsp://cam/live", ("cam", 554)),
        ("rtsps://cam:8322/live", ("cam", 8322)),
        ("http://[::1]:81/x", ("::1", 81)),
        ("rtsp://cam:99999999/x", None),
        ("clip.mp4", None),
        ("udp://239.0.0.1", None),
    ],
)
def test_where_to_knock(url: str, place: tuple[str, int] | None) -> None:
    assert host_and_port(url) == place


def test_a_camera_that_was_off_is_reached_as_soon_as_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("photofinish.client.cameras.ingest.retry.KNOCK_EVERY_S", 0.1)
    knocks: list[float] = []

    async def knock(host: str, port: int) -> bool:
        knocks.append(time.monotonic())
        return True

    async def main() -> tuple[float, float]:
        begun = time.monotonic()
        await wait_for_return(60, IngestProblem.REFUSED, ("cam", 554), knock=knock)
        off_s = time.monotonic() - begun
        begun = time.monotonic()
        await wait_for_return(0.3, IngestProblem.AUTHENTICATION, ("cam", 554), knock=knock)
        return off_s, time.monotonic() - begun

    off_s, locked_s = asyncio.run(main())
    assert 0.1 <= off_s < 30
    assert locked_s >= 0.3
    assert len(knocks) == 1, "who is there and refuses us is left alone"


def test_a_knock_is_a_connection_and_nothing_else() -> None:
    async def main() -> tuple[bool, bool, bytes]:
        heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                heard.set_result(await reader.read())
            except ConnectionError:
                heard.set_result(b"")
            writer.close()

        server = await asyncio.start_server(hear, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        there = await is_open("127.0.0.1", port)
        data = await asyncio.wait_for(heard, 60)
        server.close()
        await server.wait_closed()
        return there, await is_open("127.0.0.1", port), data

    assert asyncio.run(main()) == (True, False, b"")


@pytest.mark.parametrize("host", ["a..b", "a" * 70])
def test_a_name_that_no_network_has_is_nobody(host: str) -> None:
    """It ended the wait with an error, and with it the camera: nobody reached for it any more."""
    assert asyncio.run(is_open(host, 554)) is False


def test_so_many_cameras_are_reached_for_at_once() -> None:
    async def main() -> list[int]:
        pace = StartPace(at_once=3, hold_s=0.2)
        under_way = peak = 0
        peaks = []

        async def start(number: int) -> None:
            nonlocal under_way, peak
            end = await pace.begin()
            under_way += 1
            peak = max(peak, under_way)
            await asyncio.sleep(0.02)
            under_way -= 1
            end()
            end()

        await asyncio.gather(*(start(number) for number in range(12)))
        peaks.append(peak)
        await asyncio.wait_for(asyncio.gather(*(pace.begin() for _ in range(9))), 60)  # none of which ever answers
        return peaks

    assert asyncio.run(main()) == [3]
