"""Whether an address means this machine."""

from __future__ import annotations

import ipaddress

LOOPBACK = "127.0.0.1"


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
