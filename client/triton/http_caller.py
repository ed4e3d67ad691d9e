"""Inference requests over Triton's HTTP endpoint, for pictures that lie in shared memory.

A request that names a region is 300 bytes, so the cost of a call is the client's own work: Python's gRPC takes several
times as long over it as a plain socket (figures in docs/benchmarking.md).
"""

from __future__ import annotations

import json
import math
import socket
import struct
import time
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from photofinish.access.token import HTTP_HEADER
from photofinish.client.triton.errors import error_from_answer, translate_status
from photofinish.client.triton.regions import DIRECT_PARAMETER, TransportError
from photofinish.client.triton.served import ServedModel
from photofinish.client.triton.tensors import DTYPES, require_rows
from photofinish.errors import InferenceError, RequestTimeoutError

_HEADERS_END = b"\r\n\r\n"
_MAX_HEADERS = 1 << 16
_MARGIN = 1 << 12
"""Bytes asked for beyond the last answer's size: a buffer that fits is cheap, a large one is mapped anew each time."""
_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
}
"""gRPC's name for what Triton's HTTP endpoint says with a number."""
_STEP_S = 0.01
"""A deadline is rounded up to such steps, so that requests in turn need not set it anew."""


def http_address(grpc_url: str, http_url: str | None = None) -> tuple[str, int]:
    """Host and port of Triton's HTTP endpoint: `http_url` (host:port) where somebody knows it.

    Without it the port is expected one below gRPC's, as in Triton's own defaults.
    """
    host, _, port = (http_url or grpc_url).rpartition(":")
    return host.strip("[]"), int(port) - (not http_url)


class HttpConnection:
    """One kept connection, one request at a time. Opened at the first request, and again after a failure."""

    def __init__(self, address: tuple[str, int], *, model: str, url: str) -> None:
        """url: what errors call the server, the address that the user gave. model: what they say was asked for."""
        self.url = url
        self._address = address
        self._model = model
        self._socket: socket.socket | None = None
        self._wait_s = 0.0
        self._size = 1 << 16

    def ask(self, message: bytes, timeout_s: float) -> tuple[bytes, bytes]:
        """The headers, in lower case, and the body of a successful answer; one of our errors otherwise."""
        deadline = time.monotonic() + timeout_s
        is_reused = self._socket is not None
        try:
            try:
                status, headers, body = self._exchange(message, deadline)
            except (ConnectionError, EOFError):
                if not is_reused:
                    raise
                # The server may close a connection that was idle; a request without any answer is safe to repeat.
                self.close()
                status, headers, body = self._exchange(message, deadline)
        except (TimeoutError, BlockingIOError) as exc:
            self.close()
            text = (
                f"{self._model or 'the server'} at {self.url} gave no answer within {timeout_s:g} s; is it overloaded?"
            )
            raise RequestTimeoutError(text, model=self._model, url=self.url) from exc
        except (OSError, EOFError, ValueError) as exc:
            self.close()
            raise translate_status("UNAVAILABLE", str(exc), url=self.url, model=self._model) from exc
        except BaseException:  # Ctrl-C: what comes now would be taken for the next request's answer
            self.close()
            raise
        if status != 200:
            raise translate_status(_STATUSES.get(status, ""), _reason(body, status), url=self.url, model=self._model)
        return headers, body

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
            self._wait_s = 0.0

    def _exchange(self, message: bytes, deadline: float) -> tuple[int, bytes, bytes]:
        """Status, headers and body. Raises OSError, EOFError when the server hung up, ValueError if it is not HTTP."""
        if self._socket is None:
            self._socket = socket.create_connection(self._address, timeout=_left_s(deadline))
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.settimeout(None)
        self._wait_until(deadline)
        self._socket.sendall(message)
        received = self._receive()
        while (end := received.find(_HEADERS_END)) < 0:
            if len(received) > _MAX_HEADERS:
                raise ValueError("it does not speak HTTP")
            self._wait_until(deadline)
            received += self._receive()
        headers = received[:end].lower()
        if not headers.startswith(b"http/1.1 "):
            raise ValueError("it does not speak HTTP")
        begin = end + len(_HEADERS_END)
        missing = begin + header_number(headers, b"content-length") - len(received)
        if missing > 0:
            parts = [received]
            while missing > 0:
                self._wait_until(deadline)
                parts.append(self._receive())
                missing -= len(parts[-1])
            received = b"".join(parts)
        self._size = len(received) + _MARGIN
        return int(headers[9:12]), headers, received[begin:]

    def _wait_until(self, deadline: float) -> None:
        """Let no call on the socket wait longer. The kernel keeps the limit: Python's own costs a poll a call."""
        left_s = _left_s(deadline)
        if self._socket is None:
            raise ConnectionError("the connection is closed")
        if not 0 <= self._wait_s - left_s <= _STEP_S:
            steps = math.ceil(left_s / _STEP_S)
            self._wait_s = steps * _STEP_S
            limit = struct.pack("@ll", *divmod(steps * round(_STEP_S * 1e6), 10**6))
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)

    def _receive(self) -> bytes:
        if self._socket is None:
            raise ConnectionError("the connection is closed")
        if not (data := self._socket.recv(self._size)):
            raise EOFError("socket closed")
        return data


class HttpCaller:
    """Runs one slot's inference over a connection of its own.

    url: what errors call the server; region: the name of the slot's shared memory; direct: `InputRegion.direct`; token:
    what the server wants to be shown.
    """

    def __init__(
        self,
        address: tuple[str, int],
        url: str,
        model: ServedModel,
        region: str,
        direct: str = "",
        *,
        token: str = "",
    ) -> None:
        self._address = address
        self._connection = HttpConnection(address, model=model.name, url=url)
        self._model = model
        self._region = region
        self._direct = direct
        self._header = f"{HTTP_HEADER}: {token}\r\n" if token else ""
        self._messages: dict[int, bytes] = {}
        self._layout = AnswerLayout()

    def call(self, count: int, byte_size: int, timeout_s: float) -> npt.NDArray[np.float32]:
        """The first output of the first `count` pictures, `byte_size` bytes of the region."""
        message = self._messages.get(count)
        if message is None:
            message = self._messages[count] = self._message(count, byte_size)
        headers, body = self._connection.ask(message, timeout_s)
        try:
            return require_rows(self._layout.array(headers, body), count)
        except (ValueError, LookupError, TypeError) as exc:
            raise error_from_answer(exc, url=self._connection.url, model=self._model.name) from exc

    def check_same_server(self, kind: str, timeout_s: float) -> None:
        """Raise TransportError unless the server at this address knows the region. kind: system or cuda."""
        path = f"/v2/{kind}sharedmemory/region/{self._region}/status"
        try:
            self._connection.ask(f"GET {path} HTTP/1.1\r\nHost: triton\r\n{self._header}\r\n".encode(), timeout_s)
        except InferenceError as exc:
            host, port = self._address
            raise TransportError(f"no HTTP endpoint of the same server at {host}:{port}: {exc}") from exc

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _message(self, count: int, byte_size: int) -> bytes:
        source, sink = self._model.inputs[0], self._model.outputs[0]
        body: dict[str, Any] = {
            "inputs": [
                {
                    "name": source.name,
                    "datatype": source.datatype,
                    "shape": [count, *self._model.input_dims()],
                    "parameters": {"shared_memory_region": self._region, "shared_memory_byte_size": byte_size},
                }
            ],
            "outputs": [{"name": sink.name, "parameters": {"binary_data": True}}],
        }
        if self._direct:
            body["parameters"] = {DIRECT_PARAMETER: self._direct}
        content = json.dumps(body, separators=(",", ":")).encode()
        first = f"POST /v2/models/{quote(self._model.name)}/infer HTTP/1.1\r\nHost: {self._address[0]}\r\n"
        first += self._header
        return f"{first}Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content


def header_number(headers: bytes, name: bytes) -> int:
    """The value of a header, given in lower case. Raises ValueError when it is missing or no number."""
    _, found, after = headers.partition(b"\r\n" + name + b":")
    if not found:
        raise ValueError(f"its answer has no {name.decode()}")
    return int(after.partition(b"\r\n")[0])


def _left_s(deadline: float) -> float:
    if (left := deadline - time.monotonic()) <= 0:
        raise TimeoutError
    return left


def _reason(body: bytes, status: int) -> str:
    """Triton's own words, or the number where something else answered."""
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP status {status}"


class AnswerLayout:
    """What the head of an answer says. It is the same for every request of a size, and read anew when it changes."""

    def __init__(self) -> None:
        self._head = b""
        self._dtype: type[np.generic] = np.float32
        self._shape: tuple[int, ...] = ()

    def array(self, headers: bytes, body: bytes) -> npt.NDArray[np.float32]:
        """The first output, batch first, as float32. FP32 is a read-only view of the body."""
        begin = header_number(headers, b"inference-header-content-length")
        head = body[:begin]
        if not self._head or head != self._head:
            output: dict[str, Any] = json.loads(head)["outputs"][0]
            self._dtype, self._shape = DTYPES[output["datatype"]], tuple(output["shape"])
            self._head = head
        found = np.frombuffer(body, dtype=self._dtype, offset=begin).reshape(self._shape)
        return np.asarray(found, dtype=np.float32)
