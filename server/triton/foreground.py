"""A server in the foreground: it runs until Ctrl-C, SIGTERM, SIGHUP or its own end."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from photofinish.access.token import GRPC_HEADER, HTTP_HEADER
from photofinish.errors import ServerError
from photofinish.server.triton.embedded import EmbeddedServer, ServerEndpoint

CHECK_S = 0.1


class _StopRequested(BaseException):
    """A signal asked for the end while the server started."""


@dataclass(slots=True)
class _Stop:
    """Whether a signal has asked for the end, and whether that interrupts what runs."""

    is_asked: bool = False
    interrupts: bool = True


def serve_until_stopped(server: EmbeddedServer, on_ready: Callable[[ServerEndpoint], None]) -> None:
    """Run the server until Ctrl-C, SIGTERM or SIGHUP; raise ServerError when it ends by itself.

    Call it from the main thread: it takes over these signals while it runs.
    """
    try:
        with _signals_ask() as stop, server:
            stop.interrupts = False
            if not stop.is_asked:
                on_ready(server.endpoint)
            while not server.wait(CHECK_S):
                if stop.is_asked:
                    return
            raise ServerError(f"tritonserver ended by itself: {server.how_it_ended()}; see {server.log_path}")
    except _StopRequested:
        return


def words_on_access(at: ServerEndpoint) -> str:
    """Who is answered by a server, for the terminal."""
    if not at.token_path:
        return (
            "open: whatever runs on this machine is answered, another user's program and a page in a browser too, and "
            "some requests end this Triton"
        )
    return (
        f"only requests with the token in {at.token_path} are answered (headers {HTTP_HEADER} and {GRPC_HEADER}); "
        "photofinish shows it by itself, others want --open"
    )


@contextmanager
def _signals_ask() -> Iterator[_Stop]:
    """The first of these signals asks for the end; later ones are ignored, so that stopping is not cut short.

    It raises _StopRequested only where it may take long until somebody looks: an exception out of a signal can be
    swallowed by a destructor that runs just then.
    """
    stop = _Stop()

    def ask(number: int, frame: FrameType | None) -> None:
        if not stop.is_asked:
            stop.is_asked = True
            if stop.interrupts:
                raise _StopRequested

    # `nohup` starts programs with SIGHUP ignored, and means it.
    hang_up = [signal.SIGHUP] if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN else []
    previous = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM, *hang_up)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
