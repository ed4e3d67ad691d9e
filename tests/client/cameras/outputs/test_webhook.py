"""The webhook against real HTTP servers that take, refuse, stall and die."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from photofinish.client.cameras.outputs.webhook import Webhook
from photofinish.errors import ConfigError
from tests.client.cameras.outputs.test_json_lines import inferred

QUICK = (0.05, 0.1)


class Receiver:
    """Answers with `status`, after `delay_s`; keeps what it got."""

    def __init__(self) -> None:
        self.status = 200
        self.delay_s = 0.0
        self.bodies: list[dict[str, list[dict[str, object]]]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.requests = 0

    @property
    def frames(self) -> list[object]:
        return [event["frame"] for body in self.bodies for event in body["events"]]

    @contextmanager
    def serving(self, port: int = 0) -> Iterator[str]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                receiver.requests += 1
                body = self.rfile.read(int(self.headers["Content-Length"]))
                time.sleep(receiver.delay_s)
                if receiver.status < 300:
                    receiver.bodies.append(json.loads(body))
                    receiver.headers.append(dict(self.headers))
                    receiver.paths.append(self.path)
                try:
                    self.send_response(receiver.status)
                    self.send_header("Content-Length", "2")
                    self.end_headers()
                    self.wfile.write(b"ok")
                except OSError:  # the client gave up
                    pass

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/hook?key=secret"
        finally:
            server.shutdown()
            server.server_close()


def soon(holds: Callable[[], bool], timeout_s: float = 60.0) -> None:
    end_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < end_s, "it did not come true"
        time.sleep(0.01)


def test_frames_with_boxes_are_posted_in_order_and_a_few_at_once() -> None:
    receiver = Receiver()
    receiver.delay_s = 0.2
    with receiver.serving() as address:
        hook = Webhook(address, environment={"PHOTOFINISH_WEBHOOK_TOKEN": "sesame"})
        for tick in range(150):
            hook.on_inferred(inferred(tick))
            hook.on_inferred(inferred(1000 + tick, with_box=False))
        soon(lambda: len(receiver.frames) == 150)
        hook.close()
    assert receiver.frames == list(range(150))
    assert 2 <= receiver.requests < 20
    assert receiver.headers[0]["Authorization"] == "Bearer sesame"
    assert receiver.paths[0] == "/hook?key=secret"
    assert hook.lost == 0


def test_a_receiver_that_is_started_again_gets_what_waited() -> None:
    receiver = Receiver()
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    hook = Webhook(f"http://127.0.0.1:{port}/", pauses_s=(0.1,) * 60)
    hook.on_inferred(inferred(1))
    time.sleep(0.25)
    with receiver.serving(port):
        soon(lambda: receiver.frames == [1])
        hook.on_inferred(inferred(2))
        soon(lambda: receiver.frames == [1, 2])
    with receiver.serving(port):  # the connection that was kept is dead
        hook.on_inferred(inferred(3))
        soon(lambda: receiver.frames == [1, 2, 3])
    hook.close()
    assert hook.lost == 0


@pytest.mark.parametrize(
    ("status", "tries", "words"),
    [
        (503, 3, "it answers 503 Service Unavailable"),
        (400, 1, "it answers 400 Bad Request"),
        (302, 1, "it answers 302 Found; redirections are not followed, give the address that it redirects to"),
    ],
)
def test_a_refusal_is_repeated_where_that_may_help_and_told_once(status: int, tries: int, words: str) -> None:
    receiver = Receiver()
    receiver.status = status
    said: list[str] = []
    with receiver.serving() as address:
        hook = Webhook(address, pauses_s=QUICK, on_failure=said.append)
        for lost in (1, 2):
            hook.on_inferred(inferred(lost))
            soon(lambda lost=lost: hook.lost == lost)  # type: ignore[misc]
        assert receiver.requests == 2 * tries
        receiver.status = 200
        hook.on_inferred(inferred(3))
        soon(lambda: receiver.frames == [3])
        hook.close()
    assert said == [f"webhook 127.0.0.1: events are lost: {words}"]
    assert hook.lost == 2


def test_a_receiver_that_stalls_holds_nobody_up_and_loses_with_a_count() -> None:
    receiver = Receiver()
    receiver.delay_s = 20
    with receiver.serving() as address:
        hook = Webhook(address, timeout_s=0.2, pauses_s=QUICK, max_waiting=10)
        began_s = time.monotonic()
        for tick in range(500):
            hook.on_inferred(inferred(tick))
        assert time.monotonic() - began_s < 10, "each would wait 0.2 s"
        soon(lambda: hook.lost >= 489)
        hook.close()
        assert time.monotonic() - began_s < 15, "the receiver takes 20 s"
        assert hook.lost == 500


def test_nobody_listens(capfd: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    hook = Webhook(f"http://user:hunter2@127.0.0.1:{port}/secret-path", pauses_s=QUICK, on_failure=said.append)
    hook.on_inferred(inferred(1))
    soon(lambda: hook.lost == 1)
    hook.close()
    assert said == ["webhook 127.0.0.1: events are lost: Connection refused"]
    assert "hunter2" not in hook.name
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("address", ["", "ftp://host/", "http://", "http://host:99999/", "http://ho st/secret"])
def test_what_is_no_address_is_refused_without_showing_it(address: str) -> None:
    with pytest.raises(ConfigError, match="must be an address such as https://host/path") as caught:
        Webhook(address)
    assert "secret" not in str(caught.value)


def test_a_receiver_that_answers_a_byte_at_a_time_is_cut_off() -> None:
    """Each byte began the time-out anew: the thread was kept for hours, and nothing said so."""
    told = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                while True:
                    connection.sendall(b"H")
                    told.wait(0.05)

        threading.Thread(target=drip, daemon=True).start()
        webhook = Webhook(
            f"http://127.0.0.1:{listener.getsockname()[1]}/hook",
            environment={},
            timeout_s=0.3,
            pauses_s=(),
            on_failure=lambda text: told.set(),
        )
        webhook.on_inferred(inferred())
        assert told.wait(20)
        webhook.close()
    assert webhook.lost == 1
