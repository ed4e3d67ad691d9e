"""A client of the same machine that does with its shared memory what no client should, and an honest one beside it."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import secrets
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from photofinish.access.token import access_to
from photofinish.client.triton.served import TritonClient
from photofinish.client.triton.session import Session
from photofinish.client.triton.transport import SYSTEM_SHM_HTTP, Transport
from photofinish.server.triton.embedded import EmbeddedServer

SIDE = 64
PICTURE_BYTES = SIDE * SIDE * 3
TIMEOUT_S = 60.0


class OwnFile:
    """A file in the place of a region, made as our clients make theirs; what becomes of it is the attacker's choice."""

    def __init__(self, byte_size: int) -> None:
        self.name = f"photofinish-region-{os.getpid()}-attack-{secrets.token_hex(16)}"
        self.path = Path("/dev/shm") / self.name
        self.descriptor = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self.descriptor, fcntl.LOCK_EX)
        self.resize(byte_size)

    def __enter__(self) -> OwnFile:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.path.unlink(missing_ok=True)
        os.close(self.descriptor)

    @property
    def direct(self) -> str:
        """What its owner puts into the request parameter."""
        return f"{os.getpid()}/{self.descriptor}/{os.fstat(self.descriptor).st_ino}/{self.name}"

    def resize(self, byte_size: int) -> None:
        os.ftruncate(self.descriptor, byte_size)

    def write(self, pictures: npt.NDArray[np.uint8], offset: int = 0) -> None:
        os.pwrite(self.descriptor, pictures.tobytes(), offset)


def post(server: EmbeddedServer, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Status and answer of Triton's HTTP endpoint."""
    connection = http.client.HTTPConnection(server.endpoint.http_url, timeout=TIMEOUT_S)
    try:
        headers = {"Content-Type": "application/json", **access_to(server.endpoint.grpc_url).http_headers}
        connection.request("POST", path, json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"{}")
    finally:
        connection.close()


@contextmanager
def registered(server: EmbeddedServer, file: OwnFile, byte_size: int, *, offset: int = 0) -> Iterator[str]:
    """Triton has mapped the file; the name that requests call it by."""
    name = f"attack-{secrets.token_hex(6)}"
    body = {"key": f"/{file.name}", "offset": offset, "byte_size": byte_size}
    status, answer = post(server, f"/v2/systemsharedmemory/region/{name}/register", body)
    assert status == 200, answer
    try:
        yield name
    finally:
        post(server, f"/v2/systemsharedmemory/region/{name}/unregister", {})


def infer(
    server: EmbeddedServer,
    region: str,
    *,
    direct: str = "",
    rows: int = 1,
    offset: int = 0,
    model: str = "mean",
    output_region: str = "",
) -> tuple[int, Any]:
    """Status, and the channels' means of each picture or the error's text."""
    place: dict[str, Any] = {"shared_memory_region": region, "shared_memory_byte_size": rows * PICTURE_BYTES}
    if offset:
        place["shared_memory_offset"] = offset
    shape = [rows, SIDE, SIDE, 3]
    body: dict[str, Any] = {"inputs": [{"name": "frames", "datatype": "UINT8", "shape": shape, "parameters": place}]}
    if direct:
        body["parameters"] = {"photofinish_region": direct}
    if output_region:
        of_output = {"shared_memory_region": output_region, "shared_memory_byte_size": rows * 24}
        body["outputs"] = [{"name": "detections", "parameters": of_output}]
    status, answer = post(server, f"/v2/models/{model}/infer", body)
    if status != 200:
        return status, answer["error"]
    data = answer["outputs"][0].get("data")
    return status, np.reshape(data, (rows, 6))[:, :3] if data else None


def pictures(seed: int, rows: int = 1) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (rows, SIDE, SIDE, 3), dtype=np.uint8)


def means(frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    return np.asarray(frames.mean((1, 2)))


class HonestClient:
    """Asks through the library, and knows each answer beforehand."""

    def __init__(self, server: EmbeddedServer, *, transport: Transport = SYSTEM_SHM_HTTP, model: str = "mean") -> None:
        with TritonClient(server.endpoint.grpc_url) as client:
            served = client.model(model)
        self._session = Session(
            server.endpoint.grpc_url, served, transport=transport, slots=1, http_url=server.endpoint.http_url
        )
        self._turn = 0

    def __enter__(self) -> HonestClient:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._session.close()

    def is_answered_rightly(self) -> bool:
        """Whether the next picture's answer is its own. Raises InferenceError when there is none."""
        self._turn += 1
        frames = pictures(1000 + self._turn)
        slot = self._session.acquire()
        try:
            slot.input_array[:] = frames
            found = self._session.infer(slot)
        finally:
            self._session.release(slot)
        return bool(np.allclose(found[:, 0, :3], means(frames), atol=0.01))


def processes_of(server: EmbeddedServer) -> set[int]:
    """The server's process, and the model processes that it has started."""
    found = {server.endpoint.pid}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if f"PPid:\t{server.endpoint.pid}\n" in (entry / "status").read_text():
                found.add(int(entry.name))
        except OSError:
            continue
    return found


def open_regions(server: EmbeddedServer) -> int:
    """Descriptors of regions in the server's process."""
    count = 0
    for entry in Path(f"/proc/{server.endpoint.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            count += "photofinish-region-" in str(entry.readlink())
    return count


def mapped_regions(server: EmbeddedServer) -> int:
    """Mappings of clients' regions in the model processes."""
    count = 0
    for pid in processes_of(server) - {server.endpoint.pid}:
        try:
            count += Path(f"/proc/{pid}/maps").read_text().count("photofinish-region-")
        except OSError:
            continue
    return count


@contextmanager
def shrinking(file: OwnFile, byte_size: int, *, times_a_second: float = 5.0) -> Iterator[None]:
    """Another process takes the file's memory away and gives it back, so often, for as long as the block lasts."""
    child = os.fork()
    if child == 0:
        import time

        try:
            while True:
                os.ftruncate(file.descriptor, 0)
                time.sleep(0.1 / times_a_second)
                os.ftruncate(file.descriptor, byte_size)
                time.sleep(0.9 / times_a_second)
        finally:
            os._exit(0)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
