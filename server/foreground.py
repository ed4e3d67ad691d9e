"""A server in the foreground: it runs until Ctrl-C, SIGTERM or its own end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from photofinish.errors import ServerError
from server.embedded import EmbeddedServer, ServerEndpoint

CHECK_S = 0.5


class _StopRequested(BaseException):
    """Ctrl-C or SIGTERM came."""


def serve_until_stopped(server: EmbeddedServer, on_ready: Callable[[ServerEndpoint], None]) -> None:
    """Run the server until Ctrl-C or SIGTERM; raise ServerError when it ends by itself.

    Call it from the main thread: it takes over both signals while it runs.
    """
    try:
        with _signals_raise(), server:
            on_ready(server.endpoint)
            while not server.wait(CHECK_S):
                pass
            raise ServerError(f"tritonserver ended by itself; see {server.log_path}")
    except _StopRequested:
        return


@contextmanager
def _signals_raise() -> Iterator[None]:
    """Turn the first SIGINT or SIGTERM into _StopRequested and ignore later ones, so that stopping is not cut short."""
    asked = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        if not asked.is_set():
            asked.set()
            raise _StopRequested

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
