"""The endpoint of a running cell: /metrics for Prometheus, /healthz and /readyz for supervisors, /status for people."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from photofinish.client.cameras.endpoint.board import SILENT_S, CellBoard
from photofinish.client.cameras.endpoint.metrics import registry_of_cell
from photofinish.client.cameras.endpoint.status_json import json_from_status
from photofinish.errors import ConfigError
from photofinish.machine.addresses import LOOPBACK

DEFAULT_PORT = 7870
PORTS_TRIED = 20
MAX_CLIENTS = 64
LONGEST_S = 20.0
STATUS_PATH = "/status"
_TEXT = "text/plain; charset=utf-8"


def health_of(board: CellBoard) -> tuple[int, str]:
    """200 while the cell works, else 503, and why."""
    if board.silence_s > SILENT_S:
        return 503, f"the cell has told nothing for {board.silence_s:.0f} s"
    return 200, "ok"


def readiness_of(board: CellBoard) -> tuple[int, str]:
    """200 when frames can be inferred, whatever the cameras do; else 503, and what is missing."""
    code, words = health_of(board)
    status = board.status
    if code != 200 or status is None:
        return 503, words if code != 200 else "the cell is starting"
    if status.server_message or not status.variant:
        return 503, f"server: {status.server_message or 'not connected yet'}"
    if missing := [name for name, pid in status.processes.items() if not pid]:
        return 503, f"not there: {', '.join(missing)}"
    return 200, "ok"


class StatusEndpoint:
    """Serves a board over HTTP while the block lasts.

    port None: the first free one from 7870. answers_to: whether /status may be asked for under a `Host` header: a
    stranger's page can give its own name this machine's address.
    """

    def __init__(
        self,
        board: CellBoard,
        *,
        host: str = LOOPBACK,
        port: int | None = None,
        answers_to: Callable[[str], bool],
    ) -> None:
        """Listen at once. Raises ConfigError when the port is taken."""
        self._server = _listening(host, port, _handler(board, registry_of_cell(board), answers_to))
        self.port = int(self._server.server_address[1])
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="cell-endpoint", daemon=True
        )

    def __enter__(self) -> StatusEndpoint:
        """Start answering."""
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    """A thread and a descriptor for each client, MAX_CLIENTS at once and each for LONGEST_S: they are the cell's."""

    daemon_threads = True
    block_on_close = False
    """A scraper that reads slowly must not hold up the end."""
    request_queue_size = 64

    def __init__(self, *args: Any) -> None:
        self._begun_s: dict[socket.socket, float] = {}
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread; where there are too many, who came first and has no answer yet is let go for it.

        So whoever asks for the health is answered, however many there are that ask nothing.
        """
        for oldest in list(self._begun_s)[: max(len(self._begun_s) - MAX_CLIENTS + 1, 0)]:
            _let_go(oldest)
        self._begun_s[request] = time.monotonic()
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """A client has its answer, or is let go."""
        self._begun_s.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Let go of who sends or reads a byte now and then."""
        now_s = time.monotonic()
        for request, begun_s in list(self._begun_s.items()):
            if now_s - begun_s > LONGEST_S:
                _let_go(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes before it has its answer is nothing to tell of; the rest is told as ever."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def _let_go(request: socket.socket) -> None:
    """Its thread sees the end and leaves."""
    with contextlib.suppress(OSError):
        request.shutdown(socket.SHUT_RDWR)


class _Server6(_Server):
    address_family = socket.AF_INET6


def _listening(host: str, port: int | None, handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    kind = _Server6 if ":" in host else _Server
    candidates = range(DEFAULT_PORT, DEFAULT_PORT + PORTS_TRIED) if port is None else (port,)
    last: OSError | None = None
    for candidate in candidates:
        try:
            return kind((host, candidate), handler)
        except OSError as exc:
            last = exc
    raise ConfigError(
        f"the cell's status cannot be served on {host}:{candidates[0]}: {last.strerror if last else 'no port'}; "
        "choose another --status-port"
    ) from last


def _handler(
    board: CellBoard, registry: CollectorRegistry, answers_to: Callable[[str], bool]
) -> type[BaseHTTPRequestHandler]:
    class EndpointHandler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"
        timeout = 10

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                self._answer(200, CONTENT_TYPE_LATEST, generate_latest(registry))
            elif path in ("/healthz", "/readyz"):
                code, words = (health_of if path == "/healthz" else readiness_of)(board)
                self._answer(code, _TEXT, f"{words}\n".encode())
            elif path != STATUS_PATH:
                self._answer(404, _TEXT, b"there are /status, /metrics, /healthz and /readyz\n")
            elif not answers_to(self.headers.get("Host", "")):
                self._answer(400, _TEXT, b"under this name nothing is told; start with --trusted-host NAME\n")
            elif (status := board.status) is None:
                self._answer(503, _TEXT, b"the cell is starting\n")
            else:
                self._answer(200, "application/json", json.dumps(json_from_status(status)).encode())

        def _answer(self, code: int, kind: str, body: bytes) -> None:
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing of each request."""

    return EndpointHandler
