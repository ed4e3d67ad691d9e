"""This machine's addresses are told from others'."""

from __future__ import annotations

import pytest

from photofinish.client.triton.served import channel_options
from photofinish.client.ui.page.app import Hosting
from photofinish.machine.addresses import host_from_address, is_loopback

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
