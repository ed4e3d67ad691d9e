"""Whether an address means this machine, and whose programs listen there."""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

LOOPBACK = "127.0.0.1"
_LISTEN = 10
_HEARING_LOOPBACK = (b"\x7f\0\0\1", bytes(4), bytes(10) + b"\xff\xff\x7f\0\0\1", bytes(16))
"""127.0.0.1 and any address, of IPv4 and as IPv6 has them."""
_IN_TEXT = ("0100007F", "00000000", "0000000000000000FFFF00000100007F", "0" * 32)
"""The same as /proc/net/tcp writes them."""
_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, _DONE, _REQUEST_DUMP, _NETLINK_HEAD = 4, 20, 3, 0x301, 16


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
    """User ids of the programs that connections to 127.0.0.1:port reach; None where the system does not tell.

    The kernel is asked for listeners alone: its text lists every connection, 0.2 s of a busy machine's.
    """
    found: set[int] = set()
    try:
        for family in (socket.AF_INET, socket.AF_INET6):
            for address, user, _ in _listeners(family, port):
                if address in _HEARING_LOOPBACK:
                    found.add(user)
    except (OSError, AttributeError, struct.error):
        return _listeners_in_text(port, net)
    return frozenset(found)


def is_listener(pid: int, port: int) -> bool:
    """Whether this process listens at the port, at whatever address; True where the system does not tell."""
    try:
        families = (socket.AF_INET, socket.AF_INET6)
        sockets = {f"socket:[{inode}]" for family in families for *_, inode in _listeners(family, port)}
        return not sockets or any(str(entry.readlink()) in sockets for entry in Path(f"/proc/{pid}/fd").iterdir())
    except (OSError, AttributeError, struct.error):
        return True


def _listeners(family: int, port: int) -> Iterator[tuple[bytes, int, int]]:
    """Address, user id and inode of what listens at the port, from the kernel's sock_diag(7)."""
    wanted = struct.pack("=BBBxI", family, socket.IPPROTO_TCP, 0, 1 << _LISTEN) + struct.pack("!H", port).ljust(
        48, b"\0"
    )
    head = struct.pack("=IHHII", _NETLINK_HEAD + len(wanted), _SOCK_DIAG_BY_FAMILY, _REQUEST_DUMP, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG) as kernel:
        kernel.settimeout(1.0)
        kernel.sendto(head + wanted, (0, 0))
        while True:
            data = kernel.recv(1 << 16)
            while data:
                length, kind = struct.unpack_from("=IH", data)
                if kind == _DONE:
                    return
                if kind != _SOCK_DIAG_BY_FAMILY or length < _NETLINK_HEAD:
                    raise OSError("the kernel does not tell who listens")
                body, data = data[_NETLINK_HEAD:length], data[(length + 3) // 4 * 4 :]
                if struct.unpack_from("!H", body, 4)[0] == port:
                    user, inode = struct.unpack_from("=II", body, 64)
                    yield body[8 : 8 + (4 if family == socket.AF_INET else 16)], user, inode


def _listeners_in_text(port: int, net: Path) -> frozenset[int] | None:
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
            if words[3] == f"{_LISTEN:02X}" and words[1] in {f"{host}:{port:04X}" for host in _IN_TEXT}:
                found.add(int(words[7]))
    return frozenset(found)
