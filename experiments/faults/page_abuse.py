"""What does a running page do under abuse: crash, grow, or give out a file that is not its own?

`photofinish ui` in one terminal, `python -m experiments.faults.page_abuse http://127.0.0.1:7860` in
another, on the same machine. It opens 50 tabs' worth of streams and questions, sends 100 pictures at once, a gigabyte
that is announced and one that is not, a PNG that names 50,000 x 50,000 pixels, and asks every address that gives files
for others. In between it reads the memory of the page's process. Writes one JSON and prints a line for each part.

Backs: docs/reliability.md, "no crash, no foreign file, memory flat"
"""

from __future__ import annotations

import argparse
import http.client
import json
import socket
import struct
import sys
import threading
import time
import urllib.parse
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np

TABS, UPLOADS, GIGABYTE = 50, 100, 1 << 30
TAB_S, SETTLE_S = 10.0, 1.0
MOST_SENT_MIB = 230
"""A video may have 200 MB; the rest lies in the buffers of sockets."""
OUTSIDE = ("etc/passwd", "..%2f..%2f..%2fetc%2fpasswd", "../../../../etc/passwd", "%2e%2e/%2e%2e/etc/passwd",
           "%2fetc%2fpasswd", "....//....//etc/passwd", "..%5c..%5cetc%5cpasswd", "%00", "pyproject.toml")  # fmt: skip
FILE_ROUTES = ("picture/examples/", "videos/", "videos/x/", "measuring/runs/", "measuring/runs/x/", "race/",
               "gradio_api/file=", "gradio_api/file=/", "file=/", "static/", "assets/", "view/")  # fmt: skip
SECRETS = (b"root:x:", b"[build-system]")
"""What stands in the files that are asked for, and in no answer."""
MOST_GROWTH = 1.3
"""Memory behind all of it, as a share of that before."""


class AbusedPage:
    """A page at an address. Every call is a connection of its own."""

    def __init__(self, url: str) -> None:
        parts = urllib.parse.urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._path = parts.path.rstrip("/")

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """Status and content; status 0 where the connection broke."""
        connection = http.client.HTTPConnection(self._host, self._port, timeout=120)
        try:
            connection.request(method, f"{self._path}/{path}", body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()

    @contextmanager
    def sending(self, path: str, head: str) -> Iterator[socket.socket]:
        """A connection on which the head of a POST was sent, and nothing of its body."""
        with socket.create_connection((self._host, self._port), timeout=60) as connection:
            request = f"POST {self._path}/{path} HTTP/1.1\r\nHost: {self._host}\r\n{head}\r\n\r\n"
            connection.sendall(request.encode())
            yield connection

    def watch(self, seconds: float) -> int:
        """Bytes of the live stream in so many seconds."""
        until, count = time.monotonic() + seconds, 0
        with suppress(OSError), socket.create_connection((self._host, self._port), timeout=20) as connection:
            connection.sendall(f"GET {self._path}/view/stream.mjpg HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())
            while time.monotonic() < until and (piece := connection.recv(1 << 16)):
                count += len(piece)
        return count


def resident_mib(pid: int) -> float:
    """Memory that a process holds now, in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def listening_pid(port: int) -> int:
    """The process of this machine that listens on a port."""
    wanted = f":{port:04X}"
    tables = [Path(f"/proc/net/{name}").read_text(encoding="utf-8").splitlines()[1:] for name in ("tcp", "tcp6")]
    rows = [line.split() for table in tables for line in table]
    inodes = {f"socket:[{row[9]}]" for row in rows if row[1].endswith(wanted) and row[3] == "0A"}
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if str(link.readlink()) in inodes:
                return int(link.parts[2])
    raise SystemExit(f"no process of this machine listens on port {port}")


def huge_png() -> bytes:
    """A PNG of some hundred bytes that names 50,000 x 50,000 pixels."""
    parts = (
        b"IHDR" + struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0),
        b"IDAT" + zlib.compress(bytes(99)),
        b"IEND",
    )
    chunks = (struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def photo() -> bytes:
    """A picture of 12 megapixels, as a telephone has them."""
    noise = np.random.default_rng(0).integers(0, 256, (150, 200, 3), np.uint8)
    return cv2.imencode(".jpg", cv2.resize(noise, (4000, 3000)))[1].tobytes()


def open_tabs(page: AbusedPage) -> dict[str, Any]:
    """Many streams, and the questions that a tab asks beside its stream."""
    with ThreadPoolExecutor(2 * TABS) as threads:
        streams = [threads.submit(page.watch, TAB_S) for _ in range(TABS)]
        states = [threads.submit(page.ask, "GET", "view/state") for _ in range(TABS)]
        answered = Counter(task.result()[0] for task in states)
        bytes_each = [task.result() for task in streams]
    return {"states": answered, "streams_that_moved": sum(count > 10_000 for count in bytes_each)}


def send_many(page: AbusedPage) -> dict[str, Any]:
    """As many pictures at once, then one that must be answered."""
    content = photo()
    with ThreadPoolExecutor(UPLOADS) as threads:
        answered = Counter(
            status for status, _ in threads.map(lambda _: page.ask("POST", "picture/try", content), range(UPLOADS))
        )
    return {"answers": answered, "afterwards": page.ask("POST", "picture/try", content)[0]}


def send_a_gigabyte(page: AbusedPage) -> dict[str, Any]:
    """Announced, and not announced, to every address that takes a body."""
    found: dict[str, Any] = {}
    for path in ("picture/try", "videos", "gradio_api/upload"):
        with page.sending(path, f"Content-Length: {GIGABYTE}") as connection:
            connection.settimeout(60)
            sent = pushed(connection, bytes(1 << 20), GIGABYTE)
            found[f"{path} announced"] = {"sent_mib": sent >> 20}
        with page.sending(path, "Transfer-Encoding: chunked") as connection:
            sent = pushed(connection, b"%x\r\n" % (1 << 20) + bytes(1 << 20) + b"\r\n", GIGABYTE)
            found[f"{path} not announced"] = {"sent_mib": sent >> 20}
    return found


def pushed(connection: socket.socket, piece: bytes, most: int) -> int:
    """How much the other end took before it closed."""
    sent = 0
    with suppress(OSError):
        while sent < most:
            connection.sendall(piece)
            sent += len(piece)
    return sent


def ask_for_files(page: AbusedPage) -> dict[str, Any]:
    """Other files than its own at every address that gives some."""
    asked = [f"{route}{name}" for route in FILE_ROUTES for name in OUTSIDE]
    answers = {path: page.ask("GET", path) for path in asked}
    leaked = [path for path, (_, content) in answers.items() if any(secret in content for secret in SECRETS)]
    return {"asked": len(asked), "statuses": Counter(status for status, _ in answers.values()), "leaked": leaked}


def abuse(url: str, pid: int, parts: dict[str, Callable[[AbusedPage], dict[str, Any]]]) -> dict[str, Any]:
    """Each part with the page's memory behind it, and the most that it held meanwhile."""
    page, most, stop = AbusedPage(url), [resident_mib(pid)], threading.Event()

    def watch() -> None:
        while not stop.wait(0.1):
            with suppress(OSError):
                most[0] = max(most[0], resident_mib(pid))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    page.ask("POST", "picture/try", photo())  # what is made once is made
    before = resident_mib(pid)
    found: dict[str, Any] = {"before_mib": round(before, 1)}
    for name, part in parts.items():
        most[0] = 0.0
        result = part(page)
        time.sleep(SETTLE_S)
        found[name] = {**result, "memory_mib": round(resident_mib(pid), 1), "most_mib": round(most[0], 1)}
        sys.stdout.write(f"{name}: {json.dumps(found[name])}\n")
    stop.set()
    watcher.join()
    found["alive"] = page.ask("GET", "view/state")[0] == 200
    found["growth"] = round(resident_mib(pid) / before, 3)
    return found


PARTS: dict[str, Callable[[AbusedPage], dict[str, Any]]] = {
    "50 tabs": open_tabs,
    "100 pictures at once": send_many,
    "a gigabyte": send_a_gigabyte,
    "50,000 x 50,000": lambda page: {"status": page.ask("POST", "picture/try", huge_png())[0]},
    "foreign files": ask_for_files,
}


def page_held(found: dict[str, Any]) -> bool:
    """Whether it lives, gave no foreign file, stayed in its memory, and read no upload much beyond its bound."""
    sent = [item["sent_mib"] for item in found["a gigabyte"].values() if isinstance(item, dict)]
    is_bounded = bool(sent) and max(sent) <= MOST_SENT_MIB and found["50,000 x 50,000"]["status"] == 413
    return bool(
        is_bounded and found["alive"] and not found["foreign files"]["leaked"] and found["growth"] <= MOST_GROWTH
    )


def main() -> None:
    """Abuse the page that is named, write what was found, and say whether it held."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("url", help="such as http://127.0.0.1:7860")
    parser.add_argument("--out", type=Path, default=Path(".photofinish/results/page_abuse.json"))
    given = parser.parse_args()
    found = abuse(given.url, listening_pid(urllib.parse.urlsplit(given.url).port or 80), PARTS)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    holds = page_held(found)
    sys.stdout.write(
        f"{'holds' if holds else 'FAILS'}: alive {found['alive']}, grew {found['growth']:.2f}×; {given.out}\n"
    )
    sys.exit(not holds)


if __name__ == "__main__":
    main()
