"""The verdict of a long run: what counts as growth."""

from __future__ import annotations

from experiments.soak import grew, growth

MIB = 1 << 20


def series(*values_mib: float) -> list[dict[str, float]]:
    return [{"server_gpu": value * MIB} for value in values_mib]


def test_a_warm_up_at_the_beginning_is_no_growth():
    steady = growth(series(100, 200, *[1000] * 38), "server_gpu")
    assert steady["grown_percent"] == 0


def test_a_server_that_dies_at_once_leaves_a_document():
    assert growth(series(100), "server_gpu")["grown_percent"] == 0
    assert growth(series(100, 300), "server_gpu")["grown_percent"] == 200


def test_a_leak_is_growth_and_noise_is_not():
    leak = {"growth": {"server_gpu": growth(series(*range(1000, 1200)), "server_gpu")}}
    noise = {"growth": {"server_gpu": growth(series(*[1000, 1010] * 50), "server_gpu")}}
    small = {"growth": {"client_host": growth(series(*[100, 100, 120, 120] * 1), "server_gpu")}}
    assert grew(leak, 2.0) == ["server_gpu"]
    assert grew(noise, 2.0) == []
    assert grew(small, 2.0) == [], "20 MiB of a small process are within the slack"
