"""Free ports on the loopback address."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass

from photofinish.errors import ServerError, said_of_file
from photofinish.machine.addresses import LOOPBACK, listeners_at

PORT_ATTEMPTS = 3
"""So many times ports are chosen for one server: those that were free may be taken while its models are loaded."""


class PortTakenError(ServerError):
    """A port that was free was another program's by the time the server wanted it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """One port for each of the server's endpoints."""

    grpc: int
    http: int
    metrics: int


def choose_ports(*, grpc: int, http: int, metrics: int) -> Ports:
    """The given ports, with a free one in place of each 0. Raises ServerError when a given port is taken.

    Where both may be chosen, HTTP is one below gRPC, as in Triton's defaults: clients look for it there.
    """
    given = {"--grpc-port": grpc, "--http-port": http, "--metrics-port": metrics}
    wanted = [port for port in given.values() if port]
    if len(set(wanted)) != len(wanted):
        raise ServerError(f"each endpoint needs a port of its own, got {given}; 0 takes any free one")
    if not grpc and not http:
        http, grpc = _neighbours()
        given |= {"--grpc-port": grpc, "--http-port": http}
    with ExitStack() as sockets:
        chosen = [_bound_port(option, port, sockets) for option, port in given.items()]
    return Ports(grpc=chosen[0], http=chosen[1], metrics=chosen[2])


def _neighbours() -> tuple[int, int]:
    """Two free ports, one after the other."""
    for _ in range(100):
        with socket.socket() as first, socket.socket() as second:
            first.bind((LOOPBACK, 0))
            port: int = first.getsockname()[1]
            try:
                second.bind((LOOPBACK, port + 1))
            except (OSError, OverflowError):
                continue
            return port, port + 1
    raise ServerError(f"no two neighbouring ports are free on {LOOPBACK}; pass --http-port and --grpc-port")


def _bound_port(option: str, port: int, sockets: ExitStack) -> int:
    probe = sockets.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind((LOOPBACK, port))
        probe.listen(1)
    except (OSError, OverflowError) as exc:
        raise ServerError(
            f"port {port} on {LOOPBACK} cannot be used: {said_of_file(exc)}; stop the program that holds it "
            f"(`ss -ltnp 'sport = :{port}'` names it) or pass another {option}, 0 for any free one"
        ) from exc
    found: int = probe.getsockname()[1]
    return found


def require_own_listeners(urls: Iterable[str]) -> None:
    """Raise PortTakenError when another user's program listens at one of these addresses, host:port.

    The ports stand in the server's command line seconds before it takes them: whoever is quicker gets the pictures.
    """
    for url in urls:
        port = int(url.rpartition(":")[2])
        if strangers := sorted((listeners_at(port) or set()) - {os.geteuid()}):
            raise PortTakenError(
                f"a program of user {strangers[0]} has taken port {port} on {LOOPBACK} before the server could; start "
                "again with other ports, 0 for any free one, and ask that user"
            )


def require_ports(taken: str) -> None:
    """Raise PortTakenError for the host:port that the server found taken; "" is none."""
    if taken:
        port = taken.rpartition(":")[2]
        raise PortTakenError(
            f"another program has taken port {port} on {LOOPBACK} before the server could; start again with other "
            f"ports, 0 for any free one, or stop that program (`ss -ltnp 'sport = :{port}'` names it)"
        )
