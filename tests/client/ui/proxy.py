"""A small reverse proxy that serves another server under a path, as nginx and Caddy do."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(kw_only=True)
class Proxy:
    """url: the path's address for a browser. outside: paths that a browser asked for elsewhere."""

    url: str
    outside: list[str] = field(default_factory=list)


@contextmanager
def reverse_proxy(port: int, prefix: str, *, strips: bool) -> Iterator[Proxy]:
    """Serve the server at `port` under `prefix`. strips: the prefix is taken away before a request is passed on."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

        def pass_on(self) -> None:
            if self.path != prefix and not self.path.startswith((f"{prefix}/", f"{prefix}?")):
                proxy.outside.append(self.path)
                self.send_error(404)
                return
            path = (self.path.removeprefix(prefix) or "/") if strips else self.path
            headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            upstream = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            with suppress(OSError, http.client.HTTPException):
                upstream.request(self.command, path, body, {**headers, "Connection": "close"})
                answer = upstream.getresponse()
                self.send_response_only(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("transfer-encoding", "connection"):
                        self.send_header(name, value)
                self.send_header("Connection", "close")
                self.end_headers()
                while data := answer.read1(65536):
                    self.wfile.write(data)
            self.close_connection = True
            upstream.close()

        def __getattr__(self, name: str) -> object:
            if name.startswith("do_"):
                return self.pass_on
            raise AttributeError(name)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        proxy = Proxy(url=f"http://127.0.0.1:{server.server_address[1]}{prefix}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield proxy
        finally:
            server.shutdown()
