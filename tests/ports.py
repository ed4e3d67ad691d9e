"""Ports for what a test starts later, or never."""

from __future__ import annotations

import random
import socket
from pathlib import Path

AUTOMATIC = Path("/proc/sys/net/ipv4/ip_local_port_range")
BELOW = 10_000
"""So many ports below those that the system gives by itself are tried."""


def free_port() -> int:
    """A port where nobody listens, and which the system gives to nobody who asks for any: it stays free.

    One of the system's own would be another program's by then, now and again.
    """
    first = int(AUTOMATIC.read_text(encoding="ascii").split()[0])
    if first < 2 * BELOW:
        first = 32768
    for _ in range(100):
        port = random.SystemRandom().randrange(first - BELOW, first)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError(f"no port from {first - BELOW} to {first - 1} is free on 127.0.0.1")
