from __future__ import annotations

import pytest
from tritonclient.utils import InferenceServerException

from photofinish.client.triton.errors import RULES, error_from_triton, translate_status
from photofinish.errors import (
    InferenceError,
    ModelNotFoundError,
    RequestRejectedError,
    RequestTimeoutError,
    ServerUnavailableError,
)

WORDS = {
    r"restricted, expecting header": "This protocol is restricted, expecting header 'triton-grpc-protocol-x'",
    r"http1\.x server|HTTP proxy": "Trying to connect an http1.x server",
    r"a model process ended; it is starting again": "toy: a model process ended; it is starting again (was ended by X)",
    r"unknown model|not at ready state": "Request for unknown model: 'toy' has no available versions",
    r"maximum queue size": "Exceeds maximum queue size",
    r"DNS|name resolution|resolve": "DNS resolution failed for nowhere:8001",
    r"(?i)socket closed|connection reset|goaway|broken pipe|recvmsg|server shutting down|exiting": "Socket closed",
    r"shared memory": "Unable to find shared memory region: 'photofinish_1'",
    r"unknown model": "Request for unknown model: 'toy' is not found",
    r"(?i)stub process|failed to (increase|allocate).*shared memory": "Stub process 'toy_0' is not healthy.",
    r"RST_STREAM|GOAWAY": "Received RST_STREAM with error code 2",
    "": "something else",
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.status or 'any'}-{rule.error.__name__}")
def test_every_rule_is_reached_and_says_where_and_what(rule):
    detail = WORDS[rule.pattern]
    error = translate_status(rule.status or "DATA_LOSS", detail, url="host:8001", model="toy")
    assert type(error) is rule.error
    assert (error.url, error.model) == ("host:8001", "toy")
    assert str(error) == rule.sentence.format(url="host:8001", model="toy", detail=detail)
    assert "host:8001" in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("status", "detail", "expected"),
    [
        ("UNAVAILABLE", "failed to connect to all addresses; Connection refused", ServerUnavailableError),
        ("UNAVAILABLE", "Request for unknown model: 'toy' has no available versions", ModelNotFoundError),
        ("NOT_FOUND", "Request for unknown model: 'toy' is not found", ModelNotFoundError),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", RequestTimeoutError),
        ("INVALID_ARGUMENT", "unexpected shape for input 'frames'", RequestRejectedError),
        ("INTERNAL", "onnx runtime error 2", RequestRejectedError),
        ("INTERNAL", "toy: a model process ended; it is starting again (was ended by X)", ServerUnavailableError),
        ("UNKNOWN", "", RequestRejectedError),
    ],
)
def test_what_triton_says_becomes_the_narrowest_error(status, detail, expected):
    exc = InferenceServerException(msg=detail, status=f"StatusCode.{status}")
    error = error_from_triton(exc, url="host:8001", model="toy")
    assert type(error) is expected
    assert detail in str(error) or expected is RequestTimeoutError


def test_an_error_raised_by_tritonclient_itself_has_no_status():
    error = error_from_triton(InferenceServerException(msg="got unexpected elements count"), url="h:1")
    assert type(error) is RequestRejectedError
    assert isinstance(error, InferenceError)


def test_the_reason_of_a_server_that_is_not_there_stands_without_grpcs_own_words() -> None:
    detail = (
        "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:8001: Failed to connect to remote "
        "host: Connection refused"
    )
    said = str(translate_status("UNAVAILABLE", detail, url="127.0.0.1:8001"))
    assert said.startswith("no answer from 127.0.0.1:8001: Connection refused; start a server")
    assert "not a known host" in str(translate_status("UNAVAILABLE", "DNS resolution failed for nowhere", url="x:1"))
