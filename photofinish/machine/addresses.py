"""Whether an address means this machine, and whose programs listen there."""

from __future__ import annotations

import ipaddress
from pathlib import Path

LOOPBACK = "127.0.0.1"
_LISTEN = "0A"
_HEARING_LOOPBACK = ("0100007F", "00000000", "0000000000000000FFFF00000100007F", "0" * 32)
"""127.0.0.1 and any address, of IPv4 and as IPv6 has them, the way /proc/net/tcp writes them."""


def is_loopback(address: str) -> bool:
    """Whether nobody but this machine is at `address`: a host, host:port, or either with a scheme before it.

    An IPv6 host that a port follows stands in brackets. `0.0.0.0` is not one: others reach what listens there.
    """
    host = host_from_address(address)
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def host_from_address(address: str) -> str:
    """The host in lower case, without scheme, brackets, port and path."""
    rest = address.rpartition("://")[2].partition("/")[0].lower()
    if rest.startswith("["):
        return rest[1:].partition("]")[0]
    return rest if rest.count(":") > 1 else rest.partition(":")[0]


def listeners_at(port: int, net: Path = Path("/proc/net")) -> frozenset[int] | None:
    """User ids of the programs that connections to 127.0.0.1:port reach; None where the system does not tell."""
    found: set[int] = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = (net / table).read_text(encoding="ascii").splitlines()[1:]
        except FileNotFoundError:
            if table == "tcp":
                return None
            continue  # no IPv6
        except (OSError, UnicodeDecodeError):
            return None
        for words in map(str.split, lines):
            if words[3] == _LISTEN and words[1] in {f"{host}:{port:04X}" for host in _HEARING_LOOPBACK}:
                found.add(int(words[7]))
    return frozenset(found)
