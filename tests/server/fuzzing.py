"""Requests that no client should make, at a served model, with an honest client beside them that checks every answer.

Usage: python -m tests.server.fuzzing [--requests N] [--seed S] [--first K]. Each request is made from the seed and its
number alone, so that one that did harm can be sent again. Prints what became of them; exits with 1 when the server or
a model process ended, a request was not answered in time, or the honest client's answer was missing, late or wrong.
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
from tritonclient.grpc import service_pb2

from photofinish.access.token import HTTP_HEADER, access_to
from photofinish.client.triton.transport import GRPC, SYSTEM_SHM_HTTP
from photofinish.errors import InferenceError
from photofinish.server.triton.embedded import EmbeddedServer
from tests.server.bridge.attacker import (
    PICTURE_BYTES,
    HonestClient,
    OwnFile,
    infer,
    post,
    processes_of,
    registered,
)
from tests.server.models import save_mean

LIMIT_S = 20.0
"""A request that is neither answered nor refused by then hangs; the usual one takes a few ms."""
NUMBERS: tuple[Any, ...] = (0, 1, -1, 2, 63, 65, 255, 2**31 - 1, 2**31, 2**32, -(2**31), 0.5, 1e300, "1", None, True)
HUGE = (2**62, 2**63 - 1, -(2**63), 2**64)
"""Dimensions like these end Triton 2.51 itself, so only strangers, who are turned away before, send them as shapes."""
WORDS = ("", "frames", "detections", "mean", "other", "../mean", "\0", "\u0000x", "é" * 100, "x" * 5000, "%00", "FP32")
DATATYPES = ("UINT8", "FP32", "FP64", "BYTES", "BOOL", "INT64", "BF16", "", "uint8", "X")
PATHS = (
    *("/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/mean", "/v2/models/mean/config", "/v2/models/stats"),
    *(
        "/v2/models/mean/versions/1/infer",
        "/v2/models/mean/versions/9/infer",
        "/v2/models//infer",
        "/v2/repository/index",
    ),
    *("/v2/systemsharedmemory/status", "/v2/cudasharedmemory/status", "/v2/../../etc/passwd", "/%2e%2e/%2e%2e/x", "/"),
)
METHODS = ("POST", "POST", "POST", "POST", "GET", "PUT", "DELETE", "OPTIONS", "X")


def strange_value(chance: random.Random) -> Any:
    kind = chance.randrange(5)
    if kind == 0:
        return chance.choice(NUMBERS)
    if kind == 1:
        return chance.choice(WORDS)
    if kind == 2:
        return [chance.choice(NUMBERS) for _ in range(chance.randrange(4))]
    if kind == 3:
        return {chance.choice(WORDS): chance.choice(NUMBERS)}
    return chance.choice(HUGE)


def places_in(body: Any) -> list[tuple[Any, Any]]:
    """Every container in a document with each of its keys; a picture's numbers count as one."""
    keys = list(body) if isinstance(body, dict) else list(range(min(len(body), 9))) if isinstance(body, list) else []
    return [place for key in keys for place in ((body, key), *places_in(body[key]))]


def mutate(body: Any, chance: random.Random) -> None:
    """Exchange, drop or double something somewhere in a document. Shapes keep dimensions that Triton can multiply."""
    places = places_in(body)
    if not places:
        return
    container, key = chance.choice(places)
    is_number_of_shape = isinstance(container, list) and all(isinstance(item, (int, str)) for item in container)
    kind = chance.randrange(4)
    if kind == 0:
        del container[key]
    elif kind == 1 and isinstance(container, list):
        container.append(container[key])
    elif is_number_of_shape:
        container[key] = chance.choice((0, 1, -1, 63, 65, 7, "1"))
    elif key == "shape":
        container[key] = chance.choice(([1, 2], [], [1, 64, 64, 3, 1], "1", None, {}))
    else:
        container[key] = strange_value(chance)


def http_body(chance: random.Random, picture: bytes) -> tuple[bytes, dict[str, str]]:
    """An inference request with its headers, most of the time one that is wrong somewhere."""
    is_binary = chance.random() < 0.5
    source: dict[str, Any] = {"name": "frames", "datatype": "UINT8", "shape": [1, 64, 64, 3]}
    if is_binary:
        source["parameters"] = {"binary_data_size": len(picture)}
    else:
        source["data"] = list(picture[: chance.choice((len(picture), 7))])
    body: dict[str, Any] = {
        "id": "7",
        "inputs": [source],
        "outputs": [{"name": "detections", "parameters": {"binary_data": chance.random() < 0.5, "classification": 3}}],
        "parameters": {"photofinish_region": "1/2/3/photofinish-region-1", "priority": 1, "timeout": 1000},
    }
    if chance.random() < 0.3:
        del body["outputs"][0]["parameters"]["classification"]
    for _ in range(chance.randrange(4)):
        mutate(body, chance)
    head = json.dumps(body).encode()
    if chance.random() < 0.3:
        head = flipped(head, chance)
    headers = {"Content-Type": "application/json"}
    if is_binary:
        length: Any = len(head) if chance.random() < 0.8 else chance.choice((*NUMBERS, *HUGE, "", "x", len(head) + 1))
        headers["Inference-Header-Content-Length"] = str(length)
        head += picture[: len(picture) if chance.random() < 0.8 else chance.randrange(len(picture))]
    return head, headers


def flipped(content: bytes, chance: random.Random) -> bytes:
    """Some bytes exchanged, cut or doubled; digits stay apart, so that no shape becomes huge."""
    data = bytearray(content)
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(len(data))
        kind = chance.randrange(4)
        if kind == 0:
            data[at] = chance.choice(b'{}[]",:\\ \0\xff\x80atfn')
        elif kind == 1:
            del data[at:]
        elif kind == 2:
            del data[at : at + chance.randrange(1, 9)]
        else:
            data[at:at] = b' "' + bytes(chance.choice(b"abc{}[]:,\\") for _ in range(4)) + b'", '
        if not data:
            break
    return bytes(data)


class Fuzzer:
    """Sends the requests; `refusals` counts what became of them."""

    def __init__(self, server: EmbeddedServer, seed: int) -> None:
        self._server = server
        self._seed = seed
        self._access = access_to(server.endpoint.grpc_url)
        self._picture = random.Random(0).randbytes(PICTURE_BYTES)
        self._channel = grpc.insecure_channel(server.endpoint.grpc_url)
        self._infer = self._channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        self.outcomes: Counter[str] = Counter()

    def close(self) -> None:
        self._channel.close()

    def send(self, number: int) -> None:
        """The request of that number. Raises TimeoutError when it hangs, OSError when the server is gone."""
        chance = random.Random(f"{self._seed}/{number}")
        kinds: tuple[Callable[[random.Random], str], ...] = (self._http, self._stranger, self._grpc, self._region)
        kind = kinds[number % len(kinds)]
        self.outcomes[f"{kind.__name__[1:]} {kind(chance)}"] += 1

    def _http(self, chance: random.Random) -> str:
        body, headers = http_body(chance, self._picture)
        return self._exchange(chance, body, {**headers, **self._access.http_headers})

    def _stranger(self, chance: random.Random) -> str:
        """Somebody without the token, a page in a browser for instance, who may send what ends Triton 2.51 itself."""
        body, headers = http_body(chance, self._picture)
        kind = chance.randrange(4)
        if kind == 0:
            body = b"[" * 200_000
        elif kind == 1:
            shape = [chance.choice(HUGE) for _ in range(3)]
            body = json.dumps(
                {"inputs": [{"name": "frames", "datatype": "BYTES", "shape": shape, "data": []}]}
            ).encode()
        elif kind == 2:
            headers["Transfer-Encoding"] = "chunked"
            body = b"1\r\n[\r\n" * 50_000 + b"0\r\n\r\n"
        headers["Content-Type"] = chance.choice(("text/plain", "application/json"))
        if chance.random() < 0.3:
            headers[HTTP_HEADER] = chance.choice(("", "x", self._access.token[:-1], self._access.token.swapcase()))
        status = self._exchange(chance, body, headers, paths=("/v2/models/mean/infer",))
        if status == "200":
            raise AssertionError("a stranger was let in")
        return status

    def _exchange(
        self, chance: random.Random, body: bytes, headers: dict[str, str], paths: tuple[str, ...] = PATHS
    ) -> str:
        """What the server's HTTP endpoint says to it: a status, or that it hung up."""
        path = "/v2/models/mean/infer" if chance.random() < 0.7 else chance.choice(paths)
        lines = [f"{chance.choice(METHODS)} {path} HTTP/1.1", "Host: x"]
        if "Transfer-Encoding" not in headers:
            wrong = chance.choice((*NUMBERS, *HUGE, "x", len(body) + 7))
            lines.append(f"Content-Length: {len(body) if chance.random() < 0.9 else wrong}")
        lines += [f"{name}: {value}" for name, value in headers.items()]
        host, _, port = self._server.endpoint.http_url.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=LIMIT_S) as connection:
            received = b""
            try:
                connection.sendall("\r\n".join(lines).encode(errors="replace") + b"\r\n\r\n" + body)
                connection.shutdown(socket.SHUT_WR)
                received = connection.recv(1 << 16)
            except TimeoutError:
                raise
            except OSError:  # it need not listen to the end
                return "hung up"
        return received[9:12].decode(errors="replace") if received.startswith(b"HTTP/") else "hung up"

    def _grpc(self, chance: random.Random) -> str:
        request = service_pb2.ModelInferRequest(model_name="mean", id="7")
        source = request.inputs.add(name="frames", datatype="UINT8", shape=[1, 64, 64, 3])
        request.outputs.add(name="detections")
        request.raw_input_contents.append(self._picture)
        for _ in range(chance.randrange(4)):
            self._mutate_message(request, source, chance)
        message = request.SerializeToString()
        if chance.random() < 0.2:
            at = chance.randrange(min(len(message), 60))
            message = message[:at] + chance.randbytes(chance.randrange(1, 5)) + message[at + chance.randrange(5) :]
        try:
            self._infer(message, timeout=LIMIT_S, metadata=self._access.grpc_metadata)
        except grpc.RpcError as exc:
            code = exc.code()
            if code == grpc.StatusCode.DEADLINE_EXCEEDED:
                raise TimeoutError from exc
            return str(code.name)
        return "OK"

    def _mutate_message(self, request: Any, source: Any, chance: random.Random) -> None:
        kind = chance.randrange(9)
        if kind == 0:
            source.shape[:] = [chance.choice((0, 1, 2, -1, 63, 64, 3)) for _ in range(chance.randrange(9))]
        elif kind == 1:
            source.datatype = chance.choice(DATATYPES)
        elif kind == 2:
            request.model_name = chance.choice(WORDS).replace("\0", "0")
        elif kind == 3:
            request.raw_input_contents[:] = [self._picture[: chance.randrange(PICTURE_BYTES)]] * chance.randrange(3)
        elif kind == 4:
            source.contents.uint_contents.extend([1, 2, 3])
        elif kind == 5:
            request.parameters["photofinish_region"].string_param = chance.choice(WORDS).replace("\0", "0")
        elif kind == 6:
            name, value = chance.choice(("sequence_id", "priority", "timeout", "x")), chance.choice((-1, 0, 1, 2**62))
            request.parameters[name].int64_param = value
        elif kind == 7:
            request.outputs.add(name=chance.choice(WORDS).replace("\0", "0"))
            request.outputs[0].parameters["classification"].int64_param = chance.choice((0, -1, 3, 2**40))
        else:
            source.parameters["shared_memory_region"].string_param = "nobody's"
            source.parameters["shared_memory_byte_size"].int64_param = chance.choice((0, -1, 5, 2**62))

    def _region(self, chance: random.Random) -> str:
        """A client's memory, registered, named and taken away as it likes."""
        rows = chance.randrange(1, 5)
        with OwnFile(rows * PICTURE_BYTES) as file:
            size = chance.choice((rows * PICTURE_BYTES, rows * PICTURE_BYTES, PICTURE_BYTES, 1))
            if chance.random() < 0.1:
                body = {
                    "key": f"/{file.name}",
                    "offset": chance.choice(HUGE),
                    "byte_size": chance.choice((*HUGE, size)),
                }
                status, _ = post(self._server, "/v2/systemsharedmemory/region/attack/register", body)
                return f"registration {status}"
            with registered(self._server, file, size) as region:
                direct = file.direct
                if chance.random() < 0.5:
                    parts = direct.split("/")
                    parts[chance.randrange(4)] = str(
                        chance.choice((*NUMBERS, *HUGE, "", "photofinish-region-", "../x"))
                    )
                    direct = "/".join(parts)
                asked = {"rows": chance.randrange(0, 6), "offset": chance.choice((0, 0, 64, 3, PICTURE_BYTES, 2**31))}
                if chance.random() < 0.5:
                    infer(self._server, region, direct=direct, rows=rows)
                if chance.random() < 0.5:
                    file.resize(chance.choice((0, 1, 4096, PICTURE_BYTES, 2**20)))
                sink = region if chance.random() < 0.1 else ""
                model = chance.choice(("mean", "other"))
                status, _ = infer(self._server, region, direct=direct, model=model, output_region=sink, **asked)
        return str(status)


class HonestBeside(threading.Thread):
    """Asks again and again, by turns in both ways, until it is told to stop."""

    def __init__(self, server: EmbeddedServer) -> None:
        super().__init__(daemon=True)
        self._server = server
        self._is_over = threading.Event()
        self.right = 0
        self.wrong = 0
        self.missing: list[str] = []
        self.slowest_s = 0.0

    def run(self) -> None:
        with (
            HonestClient(self._server, transport=SYSTEM_SHM_HTTP) as one,
            HonestClient(self._server, transport=GRPC) as two,
        ):
            while not self._is_over.is_set():
                for client in (one, two):
                    begun_s = time.monotonic()
                    try:
                        is_right = client.is_answered_rightly()
                    except InferenceError as exc:
                        self.missing.append(str(exc))
                        continue
                    self.right += is_right
                    self.wrong += not is_right
                    self.slowest_s = max(self.slowest_s, time.monotonic() - begun_s)

    def stop(self) -> None:
        self._is_over.set()
        self.join()


def fuzz(server: EmbeddedServer, *, seed: int, first: int, count: int) -> tuple[Counter[str], HonestBeside, list[str]]:
    """What became of the requests, of the honest client's, and what was wrong."""
    before = processes_of(server)
    honest = HonestBeside(server)
    honest.start()
    fuzzer = Fuzzer(server, seed)
    wrong: list[str] = []
    number = first
    try:
        for number in range(first, first + count):
            fuzzer.send(number)
    except (OSError, AssertionError) as exc:
        wrong.append(f"request {number} of seed {seed}: {type(exc).__name__}: {exc}")
    finally:
        fuzzer.close()
        honest.stop()
    if gone := before - processes_of(server):
        wrong.append(f"{len(gone)} processes of the server ended before request {number} of seed {seed} was over")
    if honest.wrong or honest.missing or not honest.right:
        wrong.append(f"the honest client: {honest.wrong} wrong, missing: {honest.missing[:3]}, right: {honest.right}")
    return fuzzer.outcomes, honest, wrong


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--first", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for model in ("mean", "other"):
            save_mean(folder / "models", model)
        with EmbeddedServer(folder / "models") as server:
            outcomes, honest, wrong = fuzz(server, seed=given.seed, first=given.first, count=given.requests)
    print(f"seed {given.seed}: {sum(outcomes.values())} requests: {dict(sorted(outcomes.items()))}")
    print(f"the honest client: {honest.right} right answers, the slowest after {honest.slowest_s:.2f} s")
    print(*wrong, sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
