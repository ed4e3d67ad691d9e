"""The ports that tests choose beforehand."""

from __future__ import annotations

import socket

from tests.ports import free_port


def test_nobody_gets_a_chosen_port_by_asking_for_any() -> None:
    chosen = {free_port() for _ in range(20)}
    assert len(chosen) > 1
    with socket.create_server(("127.0.0.1", 0)) as any_port:
        assert max(chosen) < any_port.getsockname()[1]
    with socket.create_server(("127.0.0.1", chosen.pop())):
        pass
