"""This machine's addresses are told from others'."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from photofinish.client.triton.served import channel_options
from photofinish.client.ui.page.app import Hosting
from photofinish.machine.addresses import host_from_address, is_loopback, listeners_at

HERE = (
    "127.0.0.1:8001",
    "grpc://localhost:8001",
    "[::1]:8001",
    "127.0.0.1",
    "localhost",
    "LOCALHOST:1",
    "::1",
    "[::1]",
)
ALSO_HERE = ("[::1]", "127.1.2.3:8001", "http://127.0.0.1:8000/v2", "grpc://[::1]:8001/")
ELSEWHERE = (
    *("127.0.0.1.example:8001", "localhost.example:8001", "10.0.0.7:8001", "example", "", "0.0.0.0", "::", "[::]:8001"),
    *("127.0.0.256", "fe80::1", "[2001:db8::1]:8001"),
)


@pytest.mark.parametrize("address", [*HERE, *ALSO_HERE])
def test_this_machine(address: str) -> None:
    assert is_loopback(address)


@pytest.mark.parametrize("address", ELSEWHERE)
def test_other_machines_and_addresses_that_others_reach(address: str) -> None:
    assert not is_loopback(address)


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("grpc://Server.example:8001", "server.example"),
        ("[2001:db8::1]:8001", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("10.0.0.7", "10.0.0.7"),
    ],
)
def test_the_host_of_an_address(address: str, host: str) -> None:
    assert host_from_address(address) == host


@pytest.mark.parametrize(("address", "is_here"), [("127.1.2.3", True), ("10.0.0.7", False)])
def test_who_asks_gets_the_same_answer(address: str, is_here: bool) -> None:
    assert Hosting(host=address).is_public is not is_here
    assert (("grpc.enable_http_proxy", 0) in channel_options(f"{address}:8001")) is is_here


NOT_A_USER = 54321


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::", "::ffff:127.0.0.1"])
def test_who_listens(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        try:
            listener.bind((host, 0))
        except OSError:
            pytest.skip("no IPv6 here")
        port = listener.getsockname()[1]
        assert listeners_at(port) == set()
        listener.listen()
        assert listeners_at(port) == {os.geteuid()}
    assert listeners_at(port) == set()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a program as somebody else")
def test_another_user_who_listens() -> None:
    code = "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); input()"
    command = ["/usr/bin/env", "python3", "-I", "-c", code]
    with subprocess.Popen(
        command, user=NOT_A_USER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/"
    ) as other:
        assert other.stdout
        assert listeners_at(int(other.stdout.readline())) == {NOT_A_USER}
        other.communicate("\n")


def test_where_the_kernel_is_not_asked_its_text_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("photofinish.machine.addresses._NETLINK_SOCK_DIAG", 4242)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert listeners_at(port) == {os.geteuid()}
    assert listeners_at(port) == set()
    assert listeners_at(8001, tmp_path) is None
