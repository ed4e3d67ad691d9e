"""Under which names the page answers and who may operate it: a page of a stranger's tries, over real sockets."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator

import pytest
from fastapi import FastAPI

from photofinish.client.ui.page.composer import FrameHub
from photofinish.client.ui.page.page import mount_view_page
from photofinish.client.ui.page.panels import PanelContext
from photofinish.client.ui.page.server import STATE_PATH, STREAM_PATH, WebServer, add_view_routes, open_listener
from photofinish.client.ui.page.split_view import Choice
from photofinish.client.ui.page.trusted_hosts import COLAB_VARIABLE, HostGuard, TrustedHosts, host_name_from_text
from photofinish.errors import ConfigError

EVIL = "evil.example"
CAMERA = "rtsp://admin:hunter2@camera.example/1"
START = json.dumps({"data": ["synthetic", "toy_a", "toy_b", "free"], "session_hash": "x", "fn_index": 0})


class StubView:
    """As much of a view as the routes and the page's controls need."""

    def __init__(self) -> None:
        self.hub = FrameHub()
        self.url = "127.0.0.1:1"
        self.choice = Choice(source=CAMERA, baseline="toy_a", optimised="toy_b")
        self.chosen: list[Choice] = []

    def choose(self, choice: Choice) -> None:
        self.chosen.append(choice)


@pytest.fixture(scope="module")
def page() -> Iterator[tuple[StubView, int]]:
    """The whole page on a real port, with cam.example, all below proxy.example, and a share link as trusted names."""
    view, stop, app = StubView(), threading.Event(), FastAPI(openapi_url=None)

    @app.get(STATE_PATH)  # the first of two routes counts; the view's own needs all its processes
    async def state() -> dict[str, str]:
        return {"source": "shown"}

    add_view_routes(app, view, stop)  # type: ignore[arg-type]
    mount_view_page(app, PanelContext(view=view, is_public=False, app=app, stop=stop), ())  # type: ignore[arg-type]
    hosts = TrustedHosts(("cam.example", "*.proxy.example"))
    hosts.add("0123456789abcdef.gradio.live")
    with WebServer(HostGuard(app, hosts), open_listener("127.0.0.1", 0), stop) as web:
        yield view, web.address.port


def asked(port: int, path: str, *, method: str = "GET", body: str = "", **headers: str) -> tuple[int, str]:
    """Status and the beginning of the body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.putrequest(method, path, skip_host="Host" in given)
        for name, value in given.items():
            connection.putheader(name, value)
        if body:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body.encode() if body else None)
        answer = connection.getresponse()
        is_stream = answer.getheader("Content-Type", "").startswith("multipart")
        return answer.status, answer.read(20 if is_stream else None).decode(errors="replace")
    finally:
        connection.close()


EVERYTHING = ("/", "/config", STATE_PATH, STREAM_PATH, f"{STREAM_PATH}?layout=tall", "/gradio_api/info", "/theme.css",
              "/gradio_api/queue/data?session_hash=x", "/gradio_api/heartbeat/x", "/nothing")  # fmt: skip


@pytest.mark.parametrize("path", EVERYTHING)
def test_a_foreign_name_gets_nothing_but_words(page: tuple[StubView, int], path: str) -> None:
    """DNS rebinding: the page at evil.example has given its name the address 127.0.0.1."""
    status, said = asked(page[1], path, Host=f"{EVIL}:{page[1]}")
    assert status == 400
    assert "does not answer to the name evil.example" in said
    assert "--trusted-host evil.example" in said
    assert "camera" not in said


@pytest.mark.parametrize("host", ["", "evil.example.", "127.0.0.1.evil.example", "localhost.evil.example", "127.1",
                                  "2130706433", "cam.example.evil.example", "xproxy.example", "proxy.example",
                                  "user@127.0.0.1", "[::1].evil.example",
                                  "localhost:x@evil.example", "0x7f.1"])  # fmt: skip
def test_names_that_look_like_trusted_ones(page: tuple[StubView, int], host: str) -> None:
    assert asked(page[1], STATE_PATH, Host=host)[0] in (400, 404)
    assert not TrustedHosts(("cam.example", "*.proxy.example")).answers_to(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:7860", "LOCALHOST", "[::1]:7860", "192.168.1.7:7860",
                                  "app.localhost", "cam.example", "CAM.example:443", "cam.example.",
                                  "a.b.proxy.example",
                                  "0123456789abcdef.gradio.live"])  # fmt: skip
def test_trusted_names_are_answered(page: tuple[StubView, int], host: str) -> None:
    assert asked(page[1], STATE_PATH, Host=host) == (200, '{"source":"shown"}')


def test_this_machines_own_name_is_trusted() -> None:
    name = socket.gethostname()
    assert TrustedHosts().answers_to(f"{name}:7860")
    assert TrustedHosts().answers_to(f"{name.partition('.')[0]}.local")


def test_colabs_proxy_is_trusted_on_colab_alone() -> None:
    host = "7860-gpu-t4-s-abc-a.us-west1-1.prod.colab.dev"
    assert TrustedHosts(environment={COLAB_VARIABLE: "release-colab"}).answers_to(host)
    assert not TrustedHosts(environment={}).answers_to(host)


JOIN = "/gradio_api/queue/join"
FOREIGN = (f"https://{EVIL}", "http://127.0.0.1:1", "http://localhost:8888", "null", "http://192.0.2.1", "file://", "x",
           "http://cam.example.evil.example", "chrome-extension://abc", "http://[::1")  # fmt: skip


@pytest.mark.parametrize("origin", FOREIGN)
def test_another_page_cannot_operate_it(page: tuple[StubView, int], origin: str) -> None:
    view, port = page
    before = list(view.chosen)
    for path in (JOIN, "/gradio_api/call/start", "/gradio_api/run/start", "/gradio_api/upload", "/gradio_api/reset"):
        status, said = asked(port, path, method="POST", body=START, Origin=origin, Content_Type="text/plain")
        assert (status, "takes no request from a page of" in said) == (403, True), path
    assert view.chosen == before


@pytest.mark.parametrize("origin", FOREIGN)
def test_another_page_cannot_read_it(page: tuple[StubView, int], origin: str) -> None:
    assert asked(page[1], STATE_PATH, Origin=origin)[0] == 403
    preflight = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "x-forwarded-host"}
    assert asked(page[1], JOIN, method="OPTIONS", Origin=origin, **preflight)[0] == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "127.0.0.1:7860", "Origin": "http://127.0.0.1:7860"},
        {"Host": "localhost", "Origin": "http://localhost:80"},
        {"Host": "192.168.1.7:7860", "Origin": "http://192.168.1.7:7860"},
        {"Host": "cam.example", "Origin": "https://cam.example"},
        {"Host": "127.0.0.1:7860", "Origin": "https://cam.example"},  # a proxy that changes Host, the name trusted
        {"Host": "127.0.0.1:7860", "Origin": "https://x.example", "X_Forwarded_Host": "x.example, inner"},
        {"Host": "127.0.0.1:7860"},
    ],
)
def test_its_own_page_operates_it_also_through_proxies(page: tuple[StubView, int], headers: dict[str, str]) -> None:
    view, port = page
    fn_index = next(
        item["id"] for item in json.loads(asked(port, "/config")[1])["dependencies"] if item["api_name"] == "start"
    )
    view.chosen.clear()
    body = json.dumps({**json.loads(START), "fn_index": fn_index, "session_hash": "abc"})
    status, said = asked(port, JOIN, method="POST", body=body, Content_Type="application/json", **headers)
    assert status == 200, said
    answer = asked(port, "/gradio_api/queue/data?session_hash=abc", **headers)
    assert answer[0] == 200
    assert [choice.source for choice in view.chosen] == ["synthetic"]


def test_a_websocket_of_a_stranger_is_refused(page: tuple[StubView, int]) -> None:
    request = (
        "GET /gradio_api/stream HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    for host, origin in ((EVIL, f"http://{EVIL}"), (f"127.0.0.1:{page[1]}", f"https://{EVIL}")):
        with socket.create_connection(("127.0.0.1", page[1]), timeout=60) as connection:
            connection.sendall(request.format(host=host, origin=origin).encode())
            status = int(connection.recv(1000).split()[1])
        assert status in (400, 403)


@pytest.mark.parametrize("text", ["*", "*.example", "::1", "CAM.", "cam_1.example"])
def test_what_a_trusted_host_may_be(text: str) -> None:
    assert host_name_from_text(text) == text.lower().rstrip(".")


@pytest.mark.parametrize("text", ["https://cam.example", "cam.example:443", "cam example", "**", "a.*.example", ""])
def test_what_is_no_host_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"expected a name such as cam\.example without https:// and port"):
        host_name_from_text(text)


def test_any_name_where_a_proxy_in_front_decides() -> None:
    assert TrustedHosts(("*",)).answers_to(EVIL)
