"""One model instance in a process of its own, or several: a script that tritonserver's bridge starts.

Descriptor 3 is the memory shared with the bridge, 4 a socket that brings the model's arguments and whose end is this
process's end. Where it says that models share this process, it brings such a pair for each. Nothing but the standard
library is imported before both are taken care of. Libraries are imported before the arguments come: the bridge keeps a
spare process that waits for them, in case that another ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import queue
import socket
import struct
import sys
import threading
from pathlib import Path

MEMORY_FILE = 3
SOCKET_FILE = 4
SPARE = b"spare____"
"""How the name begins that a spare process is started with; spares.cpp has it longer, as room for the model's."""
ARGUMENTS_FIELD = 45
"""Where /proc/self/stat says, behind the program's name, at which address the command line lies."""


def main() -> None:
    """Load the model, tell the bridge how it looks, then answer executions until the bridge closes its end."""
    os.closerange(SOCKET_FILE + 1, 4096)
    # Triton's stub is linked with it; without it in the global scope packages of AOTInductor crash when they are loaded
    # (torch 2.11 in Ubuntu's Python 3.12).
    with contextlib.suppress(OSError):
        ctypes.CDLL("libstdc++.so.6", mode=ctypes.RTLD_GLOBAL)
    bridge = socket.socket(fileno=SOCKET_FILE)
    received: queue.SimpleQueue[dict[str, str]] = queue.SimpleQueue()
    # Ends imports and a load that the bridge has given up as well.
    threading.Thread(target=attend_bridge, args=(bridge, received), daemon=True).start()
    import_libraries()
    arguments = received.get()
    if "group" in arguments:
        show_name(arguments["group"])
        from .group import serve_group

        serve_group(bridge)
    show_name(arguments["model_instance_name"])
    from .serving import load, serve

    if served := load(bridge, arguments, MEMORY_FILE):
        serve(*served)


def receive_arguments(bridge: socket.socket) -> dict[str, str]:
    """What Triton's Python backend would give to `initialize`."""
    (size,) = struct.unpack("I", receive_exactly(bridge, 4))
    words = receive_exactly(bridge, size).decode().split("\0")
    return dict(zip(words[::2], words[1::2], strict=False))


def receive_exactly(bridge: socket.socket, size: int) -> bytes:
    """So many bytes. Raises EOFError when the bridge hangs up before."""
    parts = bytearray()
    while len(parts) < size:
        if not (part := bridge.recv(size - len(parts))):
            raise EOFError
        parts += part
    return bytes(parts)


def attend_bridge(bridge: socket.socket, received: queue.SimpleQueue[dict[str, str]]) -> None:
    """Hand on the arguments, then wait for the socket's end: the server is gone or wants this process gone."""
    with contextlib.suppress(OSError, EOFError):
        arguments = receive_arguments(bridge)
        received.put(arguments)
        if "group" in arguments:  # it goes on speaking, to whoever serves the group
            return
        bridge.recv(1)
    os._exit(0)


def import_libraries() -> None:
    """Import what any model of this backend needs; the folder that the package lies in has the backend's name."""
    from ..engine import import_engine

    # Whatever a library raises now it raises again when the model is loaded, where somebody is told.
    with contextlib.suppress(Exception):
        import_engine(Path(__file__).resolve().parents[2].name)


def show_name(instance_name: str) -> None:
    """Let `ps` and our own lists show the model's name, where this process was started as a spare without one."""
    words = Path("/proc/self/cmdline").read_bytes()
    spare = next((word for word in words.split(b"\0") if word.startswith(SPARE)), b"")
    if spare:
        begin = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[ARGUMENTS_FIELD])
        name = instance_name.encode()[: len(spare)].ljust(len(spare), b"\0")
        ctypes.memmove(begin + words.index(spare), name, len(name))


def send_lines(bridge: socket.socket, lines: list[str]) -> None:
    """The answer to the arguments; "end" closes it."""
    bridge.sendall("\n".join([*lines, "end", ""]).encode())


def can_open(descriptor: str, memory_file: int) -> bool:
    """Whether the bridge's descriptors can be opened here, as clients' memory is; told by the lane, which both have."""
    try:
        file = os.open(f"/proc/{os.getppid()}/fd/{descriptor}", os.O_RDWR)
        is_same = os.fstat(file).st_ino == os.fstat(memory_file).st_ino
        os.close(file)
        return is_same
    except OSError:
        sys.stderr.write("photofinish: clients' shared memory cannot be opened here; their pictures are copied once\n")
        return False


if __name__ == "__main__":
    # As a module of its package, wherever that lies: it imports the others relatively.
    package = Path(__file__).resolve().parents[1]
    sys.path.insert(0, str(package.parent))
    importlib.import_module(f"{package.name}.lane.process").main()
