"""The one table that turns a failed gRPC call into our errors."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import grpc
from tritonclient.utils import InferenceServerException

from photofinish.access.token import TOKEN_VARIABLE
from photofinish.errors import (
    InferenceError,
    ModelNotFoundError,
    RequestRejectedError,
    RequestTimeoutError,
    ServerUnavailableError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A status and a pattern in the message ("" fits all), the error they mean, and what the user reads.

    sentence is filled with url, model and detail (the server's own words).
    """

    status: str
    pattern: str
    error: type[InferenceError]
    sentence: str


_CHATTER = re.compile(
    r"failed to connect to all addresses; last error: (?:[A-Z_]+: )?(?:ipv[46]:\S+: )?"
    r"(?:Failed to connect to remote host: )?(?=\w)",
    re.IGNORECASE,
)
"""What gRPC says before the reason; the address stands in our sentence."""
_GONE = "no answer from {url}: {detail}; start a server with `photofinish serve`, or correct --url"
_NOT_SERVED = "{url} does not serve {model}: {detail}; `photofinish serve` lists what a repository holds"
_REFUSED = "{url} refused the request to {model}: {detail}"
_LOCKED = (
    "{url} answers only who shows its token; run this as the user who started it, set {variable} to the token in the "
    "file that `photofinish serve` names, or start it with `photofinish serve --open`"
).replace("{variable}", TOKEN_VARIABLE)
_FAILED = "{model} failed at {url}: {detail}; the server's log has the cause"

RULES: tuple[Rule, ...] = (
    Rule(status="UNAVAILABLE", pattern=r"restricted, expecting header", error=RequestRejectedError, sentence=_LOCKED),
    Rule(
        status="PERMISSION_DENIED",
        pattern=r"restricted, expecting header",
        error=RequestRejectedError,
        sentence=_LOCKED,
    ),
    Rule(
        status="UNAVAILABLE",
        pattern=r"http1\.x server|HTTP proxy",
        error=ServerUnavailableError,
        sentence="{url} answers HTTP, not gRPC; Triton's gRPC port is needed (8001 by default)",
    ),
    Rule(
        status="",
        pattern=r"a model process ended; it is starting again",
        error=ServerUnavailableError,
        sentence="{url} could not answer: {detail}; the server's log has more",
    ),
    Rule(
        status="UNAVAILABLE",
        pattern=r"unknown model|not at ready state",
        error=ModelNotFoundError,
        sentence=_NOT_SERVED,
    ),
    Rule(
        status="UNAVAILABLE",
        pattern=r"maximum queue size",
        error=RequestRejectedError,
        sentence="{model} at {url} has a full queue: {detail}; send less or raise the queue limit",
    ),
    Rule(
        status="UNAVAILABLE",
        pattern=r"DNS|name resolution|resolve",
        error=ServerUnavailableError,
        sentence="{url} is not a known host name: {detail}; correct --url",
    ),
    Rule(
        status="UNAVAILABLE",
        pattern=r"(?i)socket closed|connection reset|goaway|broken pipe|recvmsg|server shutting down|exiting",
        error=ServerUnavailableError,
        sentence="the server at {url} went away: {detail}",
    ),
    Rule(status="UNAVAILABLE", pattern="", error=ServerUnavailableError, sentence=_GONE),
    Rule(
        status="UNIMPLEMENTED",
        pattern="",
        error=ServerUnavailableError,
        sentence="{url} speaks gRPC but not Triton's protocol: {detail}; correct --url",
    ),
    Rule(status="NOT_FOUND", pattern=r"shared memory", error=RequestRejectedError, sentence=_REFUSED),
    Rule(status="NOT_FOUND", pattern="", error=ModelNotFoundError, sentence=_NOT_SERVED),
    Rule(status="INVALID_ARGUMENT", pattern=r"unknown model", error=ModelNotFoundError, sentence=_NOT_SERVED),
    Rule(status="INVALID_ARGUMENT", pattern="", error=RequestRejectedError, sentence=_REFUSED),
    Rule(status="ALREADY_EXISTS", pattern="", error=RequestRejectedError, sentence=_REFUSED),
    Rule(
        status="DEADLINE_EXCEEDED",
        pattern="",
        error=RequestTimeoutError,
        sentence="{model} at {url} gave no answer before the deadline; is the server overloaded or stopped?",
    ),
    Rule(
        status="RESOURCE_EXHAUSTED",
        pattern="",
        error=RequestRejectedError,
        sentence="{url} has no room for the request to {model}: {detail}",
    ),
    Rule(
        status="CANCELLED",
        pattern="",
        error=ServerUnavailableError,
        sentence="the request to {model} at {url} was cancelled: {detail}",
    ),
    Rule(status="UNAUTHENTICATED", pattern="", error=RequestRejectedError, sentence=_REFUSED),
    Rule(status="PERMISSION_DENIED", pattern="", error=RequestRejectedError, sentence=_REFUSED),
    Rule(
        status="INTERNAL",
        pattern=r"(?i)stub process|failed to (increase|allocate).*shared memory",
        error=RequestRejectedError,
        sentence="the process that runs {model} at {url} died: {detail}; start the server again, its log has the cause",
    ),
    Rule(status="INTERNAL", pattern=r"RST_STREAM|GOAWAY", error=ServerUnavailableError, sentence=_GONE),
    Rule(status="INTERNAL", pattern="", error=RequestRejectedError, sentence=_FAILED),
    Rule(status="", pattern="", error=RequestRejectedError, sentence=_FAILED),
)
"""First rule that fits wins; the last one fits everything."""


def translate_status(status: str, detail: str, *, url: str, model: str = "") -> InferenceError:
    """Our error for a gRPC status name (`UNAVAILABLE`) and the server's message."""
    for rule in RULES:
        if rule.status in ("", status) and re.search(rule.pattern, detail):
            words = _CHATTER.sub("", " ".join(detail.split())) or status or "no reason given"
            sentence = rule.sentence.format(url=url, model=model or "the server", detail=words[:300])
            return rule.error(sentence, model=model, url=url)
    raise AssertionError("the last rule fits everything")


def error_from_triton(exc: InferenceServerException, *, url: str, model: str = "") -> InferenceError:
    """Our error for what tritonclient raised."""
    status = (exc.status() or "").removeprefix("StatusCode.")
    return translate_status(status, str(exc.message() or ""), url=url, model=model)


def error_from_rpc(exc: grpc.RpcError, *, url: str, model: str = "") -> InferenceError:
    """Our error for what a gRPC stub raised."""
    call: Any = exc
    return translate_status(call.code().name, str(call.details() or ""), url=url, model=model)


def error_from_answer(exc: Exception, *, url: str, model: str) -> InferenceError:
    """Our error for an answer that is not what the model's metadata promised."""
    return InferenceError(f"{url} answered with something else than {model}'s output: {exc}", model=model, url=url)
