"""Requests over HTTP: a scripted server for everything that can go wrong; the real one is in test_detect_real."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import contextmanager

import numpy as np
import pytest

from photofinish.client.triton.http_caller import HttpCaller, HttpConnection, http_address
from photofinish.client.triton.regions import TransportError
from photofinish.client.triton.served import ServedModel
from photofinish.client.triton.tensors import TensorInfo
from photofinish.errors import (
    InferenceError,
    ModelNotFoundError,
    RequestRejectedError,
    RequestTimeoutError,
    ServerUnavailableError,
)
from tests.builders import build_card

GET = b"GET /v2 HTTP/1.1\r\n\r\n"
HANG_UP = b""
SILENCE = None
URL = "triton:8001"


def answer(body: bytes, status: int = 200, **headers: object) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def inference(rows: np.ndarray, datatype: str = "FP32") -> bytes:
    head = json.dumps({"outputs": [{"name": "out", "datatype": datatype, "shape": list(rows.shape)}]}).encode()
    return answer(head + rows.tobytes(), Inference_Header_Content_Length=len(head))


@contextmanager
def scripted(*answers: bytes | None, piece: int = 1 << 20):
    """A server that answers each request with the next of `answers`, in pieces of `piece` bytes."""
    listener = socket.create_server(("127.0.0.1", 0))
    heard: list[bytes] = []
    left = list(answers)
    done = threading.Event()

    def serve() -> None:
        while left:
            connection, _ = listener.accept()
            with connection:
                while left and (request := connection.recv(1 << 16)):
                    reply = left.pop(0)
                    if reply is SILENCE:
                        done.wait(60)
                    if not reply:
                        break
                    heard.append(request)
                    for begin in range(0, len(reply), piece):
                        connection.sendall(reply[begin : begin + piece])

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname(), heard
    finally:
        done.set()
        left.clear()
        listener.close()
        thread.join(60)


def toy() -> ServedModel:
    return ServedModel(
        name="toy",
        card=build_card(input_wh=(4, 2)),
        has_own_card=True,
        problem="",
        inputs=(TensorInfo(name="in", datatype="UINT8", dims=(2, 4, 3)),),
        outputs=(TensorInfo(name="out", datatype="FP32", dims=(5, 6)),),
        max_batch_size=8,
    )


def caller_at(address: tuple[str, int], region: str) -> HttpCaller:
    return HttpCaller(address, URL, toy(), region)


@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
def test_the_output_arrives_however_the_answer_is_cut(piece):
    rows = np.arange(60, dtype=np.float32).reshape(2, 5, 6)
    with scripted(inference(rows), inference(rows * 2), piece=piece) as (address, heard):
        caller = caller_at(address, "region-7")
        np.testing.assert_array_equal(caller.call(2, 48, 5), rows)
        np.testing.assert_array_equal(caller.call(2, 48, 5), rows * 2)
        caller.close()
    head, _, body = heard[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v2/models/toy/infer HTTP/1.1\r\n")
    (source,) = json.loads(body)["inputs"]
    assert source["shape"] == [2, 2, 4, 3]
    assert source["parameters"] == {"shared_memory_region": "region-7", "shared_memory_byte_size": 48}
    assert heard[0] == heard[1]


def test_half_precision_becomes_float32():
    with scripted(inference(np.full((1, 5, 6), 0.5, np.float16), "FP16")) as (address, _):
        found = caller_at(address, "region").call(1, 24, 5)
    assert found.dtype == np.float32
    assert (found == 0.5).all()


@pytest.mark.parametrize(
    ("status", "words", "error"),
    [
        (400, "unexpected shape for input", RequestRejectedError),
        (404, "Request for unknown model: 'toy' is not found", ModelNotFoundError),
        (500, "Stub process 'toy_0' is not healthy.", RequestRejectedError),
        (503, "Exceeds maximum queue size", RequestRejectedError),
        (503, "Server is stopping", ServerUnavailableError),
    ],
)
def test_a_refusal_is_the_same_error_as_over_grpc(status, words, error):
    refusal = answer(json.dumps({"error": words}).encode(), status)
    with scripted(refusal) as (address, _), pytest.raises(error, match=words[:20]):
        caller_at(address, "region").call(1, 24, 5)


def test_a_page_of_something_else_is_named_by_its_status():
    with scripted(answer(b"<html>", 502)) as (address, _), pytest.raises(RequestRejectedError, match="HTTP status 502"):
        caller_at(address, "region").call(1, 24, 5)


@pytest.mark.parametrize(
    "reply",
    [b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"],
)
def test_what_is_not_http_is_an_unavailable_server(reply):
    with scripted(reply) as (address, _), pytest.raises(ServerUnavailableError, match="no answer from"):
        HttpConnection(address, model="toy", url=URL).ask(GET, 5)


@pytest.mark.parametrize(
    "body", [b"{}", b'{"outputs": []}', b'{"outputs": [{"datatype": "FP32", "shape": [1, 5, 6]}]}']
)
def test_another_output_than_the_models_is_an_error_of_ours(body):
    reply = answer(body, Inference_Header_Content_Length=len(body))
    with scripted(reply) as (address, _), pytest.raises(InferenceError, match="something else than toy's output"):
        caller_at(address, "region").call(1, 24, 5)


def test_a_connection_closed_while_idle_is_opened_again_once():
    with scripted(answer(b"first"), HANG_UP, answer(b"second")) as (address, heard):
        connection = HttpConnection(address, model="toy", url=URL)
        assert connection.ask(GET, 5)[1] == b"first"
        assert connection.ask(GET, 5)[1] == b"second"
        assert len(heard) == 2


def test_a_server_that_hangs_up_twice_is_unavailable():
    with scripted(answer(b"first"), HANG_UP, HANG_UP) as (address, _):
        connection = HttpConnection(address, model="toy", url=URL)
        connection.ask(GET, 5)
        with pytest.raises(ServerUnavailableError, match="the server at triton:8001 went away"):
            connection.ask(GET, 5)


def test_a_silent_server_is_a_timeout_and_the_next_request_is_answered():
    with scripted(SILENCE, answer(b"late")) as (address, _):
        connection = HttpConnection(address, model="toy", url=URL)
        with pytest.raises(RequestTimeoutError, match=r"0\.1 s"):
            connection.ask(GET, 0.1)


def test_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
    with pytest.raises(ServerUnavailableError, match="photofinish serve"):
        HttpConnection(address, model="toy", url=URL).ask(GET, 5)


def test_another_server_on_the_neighbouring_port_is_found_out():
    refusal = answer(json.dumps({"error": "Unable to find system shared memory region: 'region'"}).encode(), 404)
    with scripted(refusal) as (address, heard):
        with pytest.raises(TransportError, match="no HTTP endpoint of the same server"):
            caller_at(address, "region").check_same_server("system", 5)
        assert heard[0].startswith(b"GET /v2/systemsharedmemory/region/region/status HTTP/1.1")


def test_http_is_where_the_server_says_else_one_below_grpc():
    assert http_address("127.0.0.1:8001") == ("127.0.0.1", 8000)
    assert http_address("[::1]:9001") == ("::1", 9000)
    assert http_address("127.0.0.1:8001", "127.0.0.1:7777") == ("127.0.0.1", 7777)
    assert http_address("127.0.0.1:8001", "[::1]:9000") == ("::1", 9000)
