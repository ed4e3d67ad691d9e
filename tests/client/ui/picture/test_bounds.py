"""What a page takes from strangers: every bound, on a real server where the network matters."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import struct
import threading
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import cv2
import numpy as np
import pytest
from fastapi import FastAPI

from photofinish.client.ui.page.machine_use import MachineUse
from photofinish.client.ui.page.server import WebServer, open_listener
from photofinish.client.ui.picture.bounds import (
    MAX_PICTURE_BYTES,
    MAX_PIXELS,
    Queue,
    RefusedError,
    picture_from_upload,
)
from photofinish.client.ui.picture.examples import Examples
from photofinish.client.ui.picture.routes import (
    BODIES,
    EXAMPLES_PATH,
    GRADIO_UPLOAD_PATH,
    TRY_PATH,
    WAITING,
    add_picture_routes,
)
from tests.client.ui.picture.test_header import png_header


class Sides:
    """As much of both sides as the routes need; `gate` holds every answer back."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.inside = self.most_inside = 0
        self._lock = threading.Lock()

    def document(self, image: np.ndarray) -> dict[str, Any]:
        with self._lock:
            self.inside += 1
            self.most_inside = max(self.most_inside, self.inside)
        self.gate.wait(60)
        with self._lock:
            self.inside -= 1
        return {"size_wh": [image.shape[1], image.shape[0]]}


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Sides, int]]:
    monkeypatch.setattr("photofinish.client.ui.picture.routes.WAIT_S", 120.0)  # who waits is served, however busy it is
    sides, stop, app = Sides(), threading.Event(), FastAPI(openapi_url=None)
    add_picture_routes(app, sides, Examples())  # type: ignore[arg-type]
    with WebServer(app, open_listener("127.0.0.1", 0), stop) as web:
        yield sides, web.address.port
        sides.gate.set()


def jpeg(size_wh: tuple[int, int] = (64, 48)) -> bytes:
    return cv2.imencode(".jpg", np.full((size_wh[1], size_wh[0], 3), 90, np.uint8))[1].tobytes()


def post(port: int, body: bytes, path: str = TRY_PATH) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def get(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_a_picture_is_answered(page: tuple[Sides, int]) -> None:
    assert post(page[1], jpeg()) == (200, b'{"size_wh":[64,48]}')


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        (png_header(50_000, 50_000), 413, "too_many_pixels"),
        (jpeg()[:-300] if len(jpeg()) > 700 else jpeg()[:-2], 415, "damaged"),
        (jpeg() + b"\xff\xda" * 100, 413, "too_many_pixels"),
        (b"", 415, "no_picture"),
        (b"#EXTM3U\nfile:///etc/passwd", 415, "no_picture"),
        (png_header(6000, 6000), 415, "damaged"),
    ],
    ids=["50,000 x 50,000", "cut", "a hundred passes", "nothing", "a playlist", "more than it holds"],
)
def test_what_is_refused(page: tuple[Sides, int], body: bytes, status: int, word: str) -> None:
    tracemalloc.start()
    try:
        assert post(page[1], body)[0] == status
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()
    assert f"picture.problem.{word}".encode() in post(page[1], body)[1]


def announced(port: int, head: str, path: str = TRY_PATH) -> tuple[bytes, float]:
    """The answer to a request's head alone, and how long it took."""
    begun = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{head}\r\n\r\n".encode())
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    return answer, time.monotonic() - begun


def test_while_something_is_measured_a_picture_is_refused_and_taken_again_behind_it() -> None:
    stop, app, use, sides = threading.Event(), FastAPI(openapi_url=None), MachineUse(), Sides()
    add_picture_routes(app, sides, Examples(), use)  # type: ignore[arg-type]
    with WebServer(app, open_listener("127.0.0.1", 0), stop) as web:
        with use.alone():
            status, said = post(web.address.port, jpeg())
            assert (status, json.loads(said)) == (503, {"word": "page.reserved.measuring", "values": {}})
            assert sides.most_inside == 0
        assert post(web.address.port, jpeg())[0] == 200


def test_a_gigabyte_is_refused_before_it_is_sent(page: tuple[Sides, int]) -> None:
    answer, took_s = announced(page[1], f"Content-Length: {1 << 30}")
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"picture.problem.too_large" in answer
    assert took_s < 14


def test_gradio_s_own_upload_is_refused_unread(page: tuple[Sides, int]) -> None:
    answer, took_s = announced(page[1], f"Content-Length: {1 << 30}", GRADIO_UPLOAD_PATH)
    assert answer.startswith(b"HTTP/1.1 413")
    assert took_s < 14


def test_a_gigabyte_that_does_not_say_so_ends_at_the_bound(page: tuple[Sides, int]) -> None:
    chunk = b"%x\r\n" % (1 << 20) + bytes(1 << 20) + b"\r\n"
    sent = 0
    with socket.create_connection(("127.0.0.1", page[1]), timeout=60) as connection:
        connection.sendall(f"POST {TRY_PATH} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        with suppress(OSError):  # reset, or a broken pipe, whichever comes first
            while sent < 1 << 30:
                connection.sendall(chunk)
                sent += 1 << 20
    assert MAX_PICTURE_BYTES - (1 << 20) < sent < 4 * MAX_PICTURE_BYTES
    assert post(page[1], jpeg())[0] == 200


def test_a_sender_that_stands_still_is_let_go(page: tuple[Sides, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("photofinish.client.ui.picture.bounds.bounded_chunks.__kwdefaults__", {"wait_s": 0.2})
    answer, took_s = announced(page[1], "Content-Length: 1000")
    assert answer.startswith(b"HTTP/1.1 408")
    assert took_s < 14


def test_a_hundred_at_once_wait_or_are_sent_away_and_two_are_held(page: tuple[Sides, int]) -> None:
    sides, port = page
    sides.gate.clear()
    with ThreadPoolExecutor(100) as threads:
        asked = [threads.submit(post, port, jpeg()) for _ in range(100)]
        deadline = time.monotonic() + 50
        while sum(task.done() for task in asked) < 100 - BODIES - WAITING and time.monotonic() < deadline:
            time.sleep(0.01)
        sides.gate.set()
        statuses = [task.result()[0] for task in asked]
    assert set(statuses) == {200, 503}
    assert statuses.count(200) >= BODIES + WAITING
    assert sides.most_inside <= BODIES
    assert post(port, jpeg())[0] == 200


@pytest.mark.parametrize(
    "path",
    ["/..%2f..%2f..%2fetc%2fpasswd", "/../../../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/bus.jpg", "//etc/passwd",
     "/bus%00", "/..\\..\\etc\\passwd", "/....//....//etc/passwd", "/file:///etc/passwd"],
)  # fmt: skip
def test_no_name_of_an_example_leads_elsewhere(page: tuple[Sides, int], path: str) -> None:
    status, body = get(page[1], EXAMPLES_PATH + path)
    assert status == 404
    assert b"root:" not in body


def test_the_gallery_gives_what_it_lists(page: tuple[Sides, int]) -> None:
    status, body = get(page[1], EXAMPLES_PATH)
    assert (status, b'"street"' in body) == (200, True)
    status, content = get(page[1], f"{EXAMPLES_PATH}/street")
    assert status == 200
    assert cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR).shape == (720, 1280, 3)


def test_the_bound_of_pixels_is_that_of_the_largest_telephone() -> None:
    assert MAX_PIXELS >= 8160 * 6120
    with pytest.raises(RefusedError) as refused:
        picture_from_upload(png_header(MAX_PIXELS // 5000 + 1, 5000))
    assert refused.value.status == 413


def sized(content: bytes, size_wh: tuple[int, int]) -> bytes:
    """A JPEG whose frame header names another size; `struct` packs height before width."""
    at = content.index(b"\xff\xc0")
    return content[: at + 5] + struct.pack(">HH", size_wh[1], size_wh[0]) + content[at + 9 :]


def hidden_behind(parameterless: bytes, content: bytes) -> bytes:
    """A JPEG with a marker in front that has no length: who takes the next bytes for one reads a smaller size."""
    fake = sized(jpeg(), (64, 48))
    fake = fake[fake.index(b"\xff\xc0") :]
    skipped = int.from_bytes(content[2:4], "big")
    return content[:2] + parameterless + content[2:].ljust(skipped, b"\0") + fake


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (sized(jpeg(), (50_000, 50_000)), 413),
        (sized(jpeg(), (65_535, 65_535)), 413),
        (hidden_behind(b"\xff\xd0", sized(jpeg(), (50_000, 50_000))), 415),
        (hidden_behind(b"\xff\x01", sized(jpeg(), (50_000, 50_000))), 415),
        (b"\xff\xd8\0\0" + sized(jpeg(), (50_000, 50_000))[2:], 415),
    ],
    ids=["as it is", "the largest", "behind a restart", "behind TEM", "behind filling"],
)
def test_a_jpeg_of_many_pixels_is_refused_before_a_decoder_sees_it(
    content: bytes, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decoder passes over bytes that our reader of headers does not: `jpeg_damage` must refuse what it skips."""

    def decode(*args: object) -> None:
        pytest.fail("it was decoded")

    monkeypatch.setattr(cv2, "imdecode", decode)
    tracemalloc.start()
    with pytest.raises(RefusedError) as refused:
        picture_from_upload(content)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert refused.value.status == status
    assert peak < 2_000_000


def test_a_queue_lets_in_waits_and_sends_away() -> None:
    async def run() -> list[str]:
        queue, said = Queue(inside=1, waiting=1, wait_s=0.05), []

        leave = asyncio.Event()

        async def come(name: str) -> None:
            try:
                async with queue.place():
                    said.append(f"{name} in")
                    await leave.wait()
            except RefusedError as exc:
                said.append(f"{name} {exc.word.rpartition('.')[2]}")
            if name == "b":
                leave.set()

        await asyncio.gather(come("a"), come("b"), come("c"))
        await come("d")
        return said

    said = asyncio.run(run())
    assert (sorted(said[:2]), said[2:]) == (["a in", "c busy"], ["b busy", "d in"])
