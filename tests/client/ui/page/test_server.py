from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from fastapi import FastAPI

from photofinish.client.ui.page.composer import FrameHub, jpeg_from_picture
from photofinish.client.ui.page.server import (
    DEFAULT_PORT,
    STREAM_PATH,
    Address,
    BoundedHttp,
    WebServer,
    add_view_routes,
    open_listener,
)
from photofinish.errors import ConfigError
from tests.client.fake_triton import wait_for


class OnlyHub:
    """As much of a view as the stream needs."""

    def __init__(self) -> None:
        self.hub = FrameHub()


@pytest.fixture
def streaming() -> Iterator[tuple[FrameHub, int]]:
    view, stop, app = OnlyHub(), threading.Event(), FastAPI(openapi_url=None)
    add_view_routes(app, view, stop)  # type: ignore[arg-type]
    with WebServer(app, open_listener("127.0.0.1", 0), stop) as web:
        yield view.hub, web.address.port


def read_part(answer: http.client.HTTPResponse) -> bytes:
    assert answer.readline() == b"--photofinish\r\n"
    assert answer.readline() == b"Content-Type: image/jpeg\r\n"
    length = int(answer.readline().split(b":")[1])
    assert answer.readline() == b"\r\n"
    jpeg = answer.read(length)
    assert answer.readline() == b"\r\n"
    return jpeg


def test_every_viewer_gets_the_same_bytes_and_is_counted(streaming: tuple[FrameHub, int]) -> None:
    hub, port = streaming
    connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=60) for _ in range(2)]
    answers = []
    for connection in connections:
        connection.request("GET", STREAM_PATH)
        answers.append(connection.getresponse())
    assert answers[0].getheader("Content-Type") == "multipart/x-mixed-replace; boundary=photofinish"
    wait_for(lambda: hub.viewers("wide") == 2)
    picture = np.full((8, 16, 3), 77, np.uint8)
    hub.publish("wide", jpeg_from_picture(picture))
    parts = [read_part(answer) for answer in answers]
    assert parts[0] == parts[1]
    assert cv2.imdecode(np.frombuffer(parts[0], np.uint8), cv2.IMREAD_COLOR).shape == picture.shape
    for answer, connection in zip(answers, connections, strict=True):
        answer.close()
        connection.close()
    hub.publish("wide", b"x")
    wait_for(lambda: hub.viewers("wide") == 0)


def test_an_unknown_layout_is_refused(streaming: tuple[FrameHub, int]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", streaming[1], timeout=60)
    connection.request("GET", STREAM_PATH + "?layout=round")
    answer = connection.getresponse()
    assert answer.status == 422
    assert b"wide" in answer.read()
    connection.close()


def test_closing_ends_a_stream_that_has_a_viewer() -> None:
    view, stop, app = OnlyHub(), threading.Event(), FastAPI(openapi_url=None)
    add_view_routes(app, view, stop)  # type: ignore[arg-type]
    with WebServer(app, open_listener("127.0.0.1", 0), stop) as web:
        connection = http.client.HTTPConnection("127.0.0.1", web.address.port, timeout=60)
        connection.request("GET", STREAM_PATH)
        answer = connection.getresponse()
    assert answer.read() == b"--photofinish\r\n"
    connection.close()


def test_a_taken_port_is_one_clear_line() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"port {port} is taken; give another with --port"):
            open_listener("127.0.0.1", port)


def test_without_a_port_the_next_free_one_is_taken() -> None:
    with open_listener("127.0.0.1", None) as first, open_listener("127.0.0.1", None) as second:
        assert DEFAULT_PORT <= first.getsockname()[1] < second.getsockname()[1]


def test_a_foreign_address_is_one_clear_line() -> None:
    with pytest.raises(ConfigError, match=r"cannot listen on 203\.0\.113\.9"):
        open_listener("203.0.113.9", 0)


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:7860"), ("0.0.0.0", "http://127.0.0.1:7860"), ("::1", "http://[::1]:7860")],
)
def test_the_address_a_browser_can_open(host: str, url: str) -> None:
    assert Address(host=host, port=7860).url == url


def test_connections_that_ask_nothing_are_few_and_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each kept a descriptor of the run for ever."""
    monkeypatch.setattr(BoundedHttp, "max_connections", 2)
    monkeypatch.setattr(BoundedHttp, "first_request_s", 0.3)
    view, stop, app = OnlyHub(), threading.Event(), FastAPI(openapi_url=None)
    add_view_routes(app, view, stop)  # type: ignore[arg-type]
    with WebServer(app, open_listener("127.0.0.1", 0), stop) as web:
        address = ("127.0.0.1", web.address.port)
        with socket.create_connection(address, timeout=8) as first, socket.create_connection(address) as second:
            first.sendall(b"GET /view/state HTTP/1.1\r\nX: ")
            second.sendall(b"G")
            with socket.create_connection(address, timeout=8) as third:
                assert _end_of(third)
            assert _end_of(first)
        connection = http.client.HTTPConnection("127.0.0.1", web.address.port, timeout=60)
        connection.request("GET", STREAM_PATH)
        assert connection.getresponse().status == 200
        connection.close()


def _end_of(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True
