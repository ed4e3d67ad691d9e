"""A port that was free is taken while the models are loaded: other ports are tried, a few times."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from photofinish.machine.addresses import is_listener
from photofinish.server.triton import embedded
from photofinish.server.triton.embedded import EmbeddedServer
from photofinish.server.triton.ports import PORT_ATTEMPTS, Ports, PortTakenError, choose_ports
from tests.server.models import config_text, write_model


class Started:
    """A ServerProcess; those before the one of number `alive` end because they cannot have their HTTP port."""

    made: list[Ports]
    alive: int

    def __init__(self, files: Any, repository: Path, models: tuple[str, ...], ports: Ports, log_path: Path, *rest: Any):
        self.made.append(ports)
        self.has_ended = len(self.made) < self.alive
        self.pid, self.token_path = os.getpid(), None
        taken = f"failed to start HTTP service: Unavailable - Socket '127.0.0.1:{ports.http}' already in use "
        log_path.write_text(f'E1201 05:42:09.720397 6856 main.cc:257] "{taken}"\n' if self.has_ended else "")

    def is_alive(self) -> bool:
        return not self.has_ended

    def keep_pictures_private(self) -> None:
        pass

    stop = keep_pictures_private


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EmbeddedServer:
    Started.made, Started.alive = [], PORT_ATTEMPTS
    monkeypatch.setattr(embedded, "ServerProcess", Started)
    monkeypatch.setattr(embedded, "bridge_library", lambda tell: None)
    monkeypatch.setattr(embedded, "is_ready", lambda url, timeout_s: len(Started.made) == Started.alive)
    monkeypatch.setattr(embedded, "accepts_connections", lambda url: True)
    monkeypatch.setattr(embedded, "is_listener", lambda pid, port: True)
    write_model(tmp_path / "models", "doubling_onnx", config_text("doubling_onnx", "onnxruntime"))
    return EmbeddedServer(tmp_path / "models", log_path=tmp_path / "log", on_progress=lambda line: None)


def test_others_are_tried(server: EmbeddedServer) -> None:
    with server:
        assert server.endpoint.http_url == f"127.0.0.1:{Started.made[-1].http}"
    assert len(Started.made) == PORT_ATTEMPTS


def test_a_few_times_and_then_it_is_told(server: EmbeddedServer) -> None:
    Started.alive = PORT_ATTEMPTS + 1
    with pytest.raises(PortTakenError, match=r"another program has taken port \d+ on 127\.0\.0\.1 before the server"):
        server.__enter__()
    assert len(Started.made) == PORT_ATTEMPTS


def test_given_ports_are_not_exchanged_for_others(server: EmbeddedServer) -> None:
    free = choose_ports(grpc=0, http=0, metrics=0)
    server._ports_given = {"grpc": free.grpc, "http": free.http, "metrics": free.metrics}
    with pytest.raises(PortTakenError, match=rf"port {free.http} .*`ss -ltnp 'sport = :{free.http}'` names it"):
        server.__enter__()
    assert Started.made == [free]


def test_a_stranger_at_its_port_does_not_make_it_ready() -> None:
    """Of one's own user too: the server would end a moment after it was called ready."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert is_listener(os.getpid(), port)
        assert not is_listener(os.getppid(), port)
    assert is_listener(os.getpid(), port), "where nobody listens, the system may not tell"
