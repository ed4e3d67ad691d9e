"""The view's own web server: the page, the composed stream, the state."""

from __future__ import annotations

import asyncio
import errno
import secrets
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TypeVar

import uvicorn
from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response, StreamingResponse
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from photofinish.client.ui.page.composer import LAYOUTS, Layout
from photofinish.client.ui.page.screen.document import screen_from_state
from photofinish.client.ui.page.split_view import SplitView
from photofinish.client.ui.page.sub_path import AsgiApp
from photofinish.client.ui.words import Language, PageWords
from photofinish.errors import ConfigError, ServerError
from photofinish.machine.addresses import LOOPBACK

DEFAULT_PORT = 7860
PORTS_TRIED = 20
STREAM_PATH = "/view/stream.mjpg"
STATE_PATH = "/view/state"
_BOUNDARY = b"photofinish"
MJPEG_TYPE = f"multipart/x-mixed-replace; boundary={_BOUNDARY.decode()}"
MJPEG_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
Stream = TypeVar("Stream", bound=str, contravariant=True)
_POLL_S = 0.005
_START_TIMEOUT_S = 60.0
MAX_CONNECTIONS = 400
"""A browser opens six for each tab."""
FIRST_REQUEST_S = 20.0


def add_view_routes(app: FastAPI, view: SplitView, stop: threading.Event) -> None:
    """Serve the stream and the state; streams end when `stop` is set. No address is absolute: a tunnel may stand
    between."""
    run = secrets.token_hex(4)  # a page that sees another one is of an earlier start, and loads itself anew

    @app.get(STREAM_PATH)
    async def stream(layout: str = LAYOUTS[0]) -> Response:
        if layout not in LAYOUTS:
            return JSONResponse({"error": f"layout must be of {list(LAYOUTS)}"}, status_code=422)
        chosen: Layout = "tall" if layout == "tall" else "wide"
        return StreamingResponse(
            mjpeg_parts(view.hub, chosen, stop),
            media_type=MJPEG_TYPE,
            headers=MJPEG_HEADERS,
        )

    @app.get(STATE_PATH)
    async def state(language: Language = "en") -> Response:
        screen = {"run": run, **screen_from_state(view.state(), PageWords(language))}
        return JSONResponse(screen, headers={"Cache-Control": "no-store"})


class PictureStreams(Protocol[Stream]):
    """Encoded pictures by stream; a stream is made only while somebody looks at it."""

    def viewing(self, stream: Stream, /) -> AbstractContextManager[None]:
        """Counts one viewer while open."""

    def newest(self, stream: Stream, /) -> tuple[int, bytes]:
        """Number of the newest picture and its JPEG bytes."""


async def mjpeg_parts(hub: PictureStreams[Stream], layout: Stream, stop: threading.Event) -> AsyncIterator[bytes]:
    """The newest pictures as multipart parts. A slow viewer skips pictures; it delays nobody else.

    Each part ends with the next boundary: a browser shows a picture when it sees where it ends.
    """
    shown = hub.newest(layout)[0]  # before it is counted: whoever sees the viewer may publish at once
    with hub.viewing(layout):
        yield b"--" + _BOUNDARY + b"\r\n"
        while not stop.is_set():
            number, jpeg = hub.newest(layout)
            if number == shown:
                await asyncio.sleep(_POLL_S)
                continue
            shown = number
            head = f"Content-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n".encode()
            yield head + jpeg + b"\r\n--" + _BOUNDARY + b"\r\n"


def open_listener(host: str, port: int | None) -> socket.socket:
    """A bound socket: on `port`, or for None on the first free one from 7860. Raises ConfigError when taken."""
    candidates = range(DEFAULT_PORT, DEFAULT_PORT + PORTS_TRIED) if port is None else [port]
    for candidate in candidates:
        listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, candidate))
            listener.listen(128)
        except OSError as exc:
            listener.close()
            if exc.errno != errno.EADDRINUSE:
                raise ConfigError(f"cannot listen on {host}:{candidate} ({exc.strerror}); give another --host") from exc
            continue
        return listener
    if port is None:
        raise ConfigError(
            f"ports {DEFAULT_PORT} to {DEFAULT_PORT + PORTS_TRIED - 1} are all taken; give a free one with --port"
        )
    raise ConfigError(f"port {port} is taken; give another with --port, or none to take the next free one")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where the page is."""

    host: str
    port: int

    @classmethod
    def of(cls, listener: socket.socket) -> Address:
        """Where a bound socket listens."""
        return cls(host=listener.getsockname()[0], port=listener.getsockname()[1])

    @property
    def url(self) -> str:
        """The address for a browser on this machine."""
        shown = LOOPBACK if self.host in ("0.0.0.0", "::") else self.host
        return f"http://[{shown}]:{self.port}" if ":" in shown else f"http://{shown}:{self.port}"


class BoundedHttp(AutoHTTPProtocol):  # type: ignore[misc, valid-type]  # uvicorn chooses it when it is imported
    """uvicorn's protocol, which by itself takes every connection, and waits for ever for a request that does not come.

    Their descriptors are those of the whole process.
    """

    max_connections = MAX_CONNECTIONS
    first_request_s = FIRST_REQUEST_S

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Take a connection, or end it at once where there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:
            transport.abort()
        else:
            self.loop.call_later(self.first_request_s, self._require_request, transport)

    def _require_request(self, transport: asyncio.Transport) -> None:
        if self.cycle is None and transport.get_protocol() is self:  # a web socket has another one
            transport.abort()


class WebServer:
    """uvicorn in a thread of its own."""

    def __init__(self, app: AsgiApp, listener: socket.socket, stop: threading.Event) -> None:
        """stop: set on closing, so that endless streams end."""
        self._listener = listener
        self._stop = stop
        config = uvicorn.Config(app, http=BoundedHttp, log_level="warning", timeout_graceful_shutdown=3)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([listener],), name="web", daemon=True)
        self.address = Address.of(listener)

    def __enter__(self) -> WebServer:
        """Start; returns once the page can be fetched."""
        self._thread.start()
        waited = threading.Event()
        for _ in range(int(_START_TIMEOUT_S / 0.05)):
            if self._server.started:
                return self
            if not self._thread.is_alive():
                break
            waited.wait(0.05)
        self.__exit__()
        raise ServerError(f"the page at {self.address.url} did not start; run with -v for the reason")

    def __exit__(self, *exc_info: object) -> None:
        """End the streams and the server."""
        self._stop.set()
        self._server.should_exit = True
        self._thread.join(10.0)
        self._listener.close()
