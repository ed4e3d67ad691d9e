"""Who is let in by the embedded server: the requests that end Triton 2.51, without its token and from anywhere."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from photofinish.access.token import HTTP_HEADER, access_to
from photofinish.errors import ServerError
from photofinish.machine.processes import ProcessTree, command_line
from photofinish.server.triton.embedded import EmbeddedServer
from tests.server.models import config_text, save_doubling_onnx, write_model

INFER = "/v2/models/doubling_onnx/infer"
NESTED = b"[" * 200_000 + b"]" * 200_000
CHUNKS = b"1\r\nA\r\n" * 1_000_000 + b"0\r\n\r\n"
HUGE = json.dumps(
    {"inputs": [{"name": "frames", "datatype": "UINT8", "shape": [1 << 40, 8, 8, 3], "data": [1]}]}
).encode()


def told(url: str, path: str, body: bytes, *, method: str = "POST", is_chunked: bool = False, extra: str = "") -> bytes:
    """The first bytes of the answer to what a page can send: a text/plain request with its origin."""
    host, port = url.split(":")
    length = "Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {len(body)}"
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: {url}\r\nOrigin: http://page.example\r\nContent-Type: text/plain\r\n"
        f"{length}\r\n{extra}\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(head.encode() + body)
        return connection.recv(4096)


@pytest.mark.parametrize(
    ("path", "body", "is_chunked"),
    [
        (INFER, HUGE, False),
        *((path, NESTED, False) for path in (INFER, "/v2/repository/index", "/v2/logging", "/v2/trace/setting")),
        *((path, CHUNKS, True) for path in (INFER, "/v2/repository/index", f"{INFER[:-5]}generate", "/v2/logging")),
    ],
)
def test_what_ends_triton_is_refused_before_it_is_read(
    toy_server: EmbeddedServer, path: str, body: bytes, is_chunked: bool
) -> None:
    """CVE-2025-23310, CVE-2025-23311 and a shape too large: each ended the server within 0.3 s."""
    answer = told(toy_server.endpoint.http_url, path, body, is_chunked=is_chunked)
    assert answer.startswith(b"HTTP/1.1 403 Forbidden"), answer
    assert told(toy_server.endpoint.http_url, "/v2/health/live", b"", method="GET").startswith(b"HTTP/1.1 200")
    assert toy_server.is_alive()


@pytest.mark.parametrize("path", ["/metrics", "/v2/health/live"])
@pytest.mark.parametrize("kind", ["nested", "chunks"])
def test_what_needs_no_token_reads_no_body(toy_server: EmbeddedServer, path: str, kind: str) -> None:
    at = toy_server.endpoint
    url = at.metrics_url if path == "/metrics" else at.http_url
    answer = told(url, path, NESTED if kind == "nested" else CHUNKS, is_chunked=kind == "chunks")
    assert answer.startswith(b"HTTP/1.1 405"), answer
    assert toy_server.is_alive()


GETS = (
    "/v2", "/v2/models/stats", "/v2/models/doubling_onnx", "/v2/models/doubling_onnx/config", "/v2/logging",
    "/v2/systemsharedmemory/status", "/v2/cudasharedmemory/status",
    "/v2/trace/setting", "/v2/models/doubling_onnx/stats",
)  # fmt: skip


def test_all_that_http_offers_but_health_wants_the_token(toy_server: EmbeddedServer) -> None:
    at = toy_server.endpoint
    for path in GETS:
        for extra in ("", f"{HTTP_HEADER}: x\r\n", f"{HTTP_HEADER}: \r\n"):
            assert told(at.http_url, path, b"", method="GET", extra=extra).startswith(b"HTTP/1.1 403"), path
    shown = f"{HTTP_HEADER}: {access_to(at.grpc_url).token}\r\n"
    assert told(at.http_url, "/v2", b"", method="GET", extra=shown).startswith(b"HTTP/1.1 200")
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/doubling_onnx/ready"):
        assert told(at.http_url, path, b"", method="GET").startswith(b"HTTP/1.1 200"), path


def grpc_calls() -> list[tuple[str, Any]]:
    """Every call of Triton's service but those for its health."""
    service = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    health = {"ServerLive", "ServerReady", "ModelReady"}
    return [
        (method.name, getattr(service_pb2, method.input_type.name)())
        for method in service.methods
        if method.name not in health
    ]


def test_all_that_grpc_offers_but_health_wants_the_token(toy_server: EmbeddedServer) -> None:
    huge = service_pb2.ModelInferRequest(model_name="doubling_onnx")
    huge.inputs.add(name="frames", datatype="UINT8", shape=[1 << 40, 8, 8, 3]).contents.uint_contents.append(1)
    calls = [*grpc_calls(), ("ModelInfer", huge), ("ModelStreamInfer", huge)]
    assert len(calls) > 15
    with grpc.insecure_channel(toy_server.endpoint.grpc_url) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert stub.ServerLive(service_pb2.ServerLiveRequest(), timeout=60).live
        assert stub.ServerReady(service_pb2.ServerReadyRequest(), timeout=60).ready
        for name, request in calls:
            for metadata in ((), (("triton-grpc-protocol-photofinish-token", "x"),), ((HTTP_HEADER, "x"),)):
                asked = iter([request]) if name == "ModelStreamInfer" else request
                with pytest.raises(grpc.RpcError, match="This protocol is restricted"):
                    list(iter(getattr(stub, name)(asked, timeout=10, metadata=metadata)))
    assert toy_server.is_alive()


def test_the_token_stands_in_no_command_line_no_log_and_no_file_that_others_read(toy_server: EmbeddedServer) -> None:
    at = toy_server.endpoint
    token = access_to(at.grpc_url).token
    path = Path(at.token_path)
    assert len(token) >= 40
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert token in path.read_text()
    supervisor = int(Path(f"/proc/{at.pid}/stat").read_text().rpartition(")")[2].split()[1])
    family = ProcessTree(supervisor).pids()
    assert len(family) >= 3
    assert [pid for pid in family if token in " ".join(command_line(pid))] == []
    assert token not in toy_server.log_path.read_text(errors="replace")


def test_what_the_server_writes_is_its_users_alone_from_the_start(toy_server: EmbeddedServer) -> None:
    """Triton makes the shared memory of its Python backend readable for everybody as far as it may."""
    status = Path(f"/proc/{toy_server.endpoint.pid}/status").read_text()
    assert "Umask:\t0077\n" in status


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    save_doubling_onnx(write_model(tmp_path / "models", "doubling_onnx", config_text("doubling_onnx", "onnxruntime")))
    return tmp_path / "models"


def test_each_start_has_its_own_token_and_its_end_removes_it(repository: Path, tmp_path: Path) -> None:
    server = EmbeddedServer(repository, log_path=tmp_path / "log")
    seen: list[tuple[str, str]] = []
    for _ in range(2):
        with server:
            at = server.endpoint
            seen.append((access_to(at.grpc_url).token, at.token_path))
        assert not Path(seen[-1][1]).exists()
        assert access_to(at.grpc_url).token == ""
    assert seen[0][0] != seen[1][0]


def test_an_open_server_lets_everybody_in(repository: Path, tmp_path: Path) -> None:
    with EmbeddedServer(repository, log_path=tmp_path / "log", is_open=True) as server:
        at = server.endpoint
        assert (at.token_path, access_to(at.grpc_url).token) == ("", "")
        assert told(at.http_url, "/v2", b"", method="GET").startswith(b"HTTP/1.1 200")


def test_a_port_that_another_user_takes_first_ends_the_start(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ports stand in the command line while models load; a stranger who listens there would get the pictures."""
    monkeypatch.setattr("photofinish.server.triton.ports.listeners_at", lambda port: {54321})
    with pytest.raises(ServerError, match=r"a program of user 54321 has taken port \d+ on 127\.0\.0\.1 before"):
        EmbeddedServer(repository, log_path=tmp_path / "log").__enter__()


THIEF = """
import http.client, json, os, sys
at, pids = json.loads(sys.argv[1]), json.loads(sys.argv[2])
def got(what, attempt):
    try:
        attempt()
        print(what)
    except (OSError, ValueError):
        pass
def read(path):
    with open(path, "rb") as file:
        file.read(1)
def ask():
    connection = http.client.HTTPConnection(at["http_url"], timeout=60)
    connection.request("GET", "/v2/models/stats")
    if connection.getresponse().status != 403:
        raise AssertionError("let in")
    raise OSError
got("token", lambda: read(at["token_path"]))
got("answer", ask)
for pid in pids:
    for name in ("environ", "mem", "maps"):
        got(f"{pid} {name}", lambda: read(f"/proc/{pid}/{name}"))
    got(f"{pid} descriptors", lambda: os.listdir(f"/proc/{pid}/fd"))
    got(f"{pid} folder", lambda: os.listdir(f"/proc/{pid}/cwd"))
    got(f"{pid} life", lambda: os.kill(pid, 0))
for name in os.listdir("/dev/shm"):
    if name.startswith("photofinish") and os.stat(f"/dev/shm/{name}").st_uid != os.getuid():
        got(name, lambda: read(f"/dev/shm/{name}"))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a program as somebody else")
def test_another_user_of_the_machine_gets_nothing(toy_server: EmbeddedServer) -> None:
    at = toy_server.endpoint
    pids = sorted(ProcessTree(at.pid).pids())
    command = ["/usr/bin/env", "python3", "-I", "-c", THIEF, json.dumps(asdict(at)), json.dumps(pids)]
    thief = subprocess.run(command, user=54321, cwd="/", capture_output=True, text=True, timeout=60, check=False)
    assert (thief.stdout, thief.stderr) == ("", "")
