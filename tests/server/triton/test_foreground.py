"""A server in the foreground ends by a signal, at whatever moment that comes."""

from __future__ import annotations

import signal
from types import SimpleNamespace
from typing import Any

import pytest

from photofinish.server.triton.foreground import serve_until_stopped


class Dropping:
    """Swallows what a signal raises, as any destructor does."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGTERM)


class Server:
    """Started and stopped; a signal comes in its start, swallowed or not, or while it runs."""

    endpoint = SimpleNamespace(grpc_url="127.0.0.1:1")
    log_path = "log"

    def __init__(self, moment: str) -> None:
        self.moment = moment
        self.did: list[str] = []

    def __enter__(self) -> Server:
        if self.moment == "start":
            signal.raise_signal(signal.SIGTERM)
        if self.moment == "destructor":
            Dropping()
        self.did.append("started")
        return self

    def __exit__(self, *raised: object) -> None:
        self.did.append("stopped")

    def wait(self, timeout_s: float) -> bool:
        """The signal comes in the middle of a look, which ends as if none had come."""
        if self.moment == "run":
            signal.raise_signal(signal.SIGTERM)
        self.did.append("looked")
        return False


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("moment", "did", "shown"),
    [
        ("start", [], 0),
        ("destructor", ["started", "looked", "stopped"], 0),
        ("run", ["started", "looked", "stopped"], 1),
    ],
)
def test_a_signal_ends_it(moment: str, did: list[str], shown: int) -> None:
    server: Any = Server(moment)
    ready: list[Any] = []
    before = signal.getsignal(signal.SIGTERM)
    serve_until_stopped(server, ready.append)
    assert server.did == did
    assert len(ready) == shown
    assert signal.getsignal(signal.SIGTERM) == before
