"""Asking a running Triton for its state: readiness over gRPC, the repository index over HTTP."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterable, Mapping

import grpc

_READY = b"\x08\x01"
"""A ServerReadyResponse whose only field is true."""


def is_ready(grpc_url: str, timeout_s: float) -> bool:
    """Whether the server says over gRPC that it and its models are ready; False when nothing answers in time."""
    with grpc.insecure_channel(grpc_url) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ServerReady")
        try:
            return bool(call(b"", timeout=timeout_s, wait_for_ready=True) == _READY)
        except grpc.RpcError:
            return False


def load_failures(http_url: str, models: Iterable[str], timeout_s: float) -> Mapping[str, str]:
    """The reason for each of `models` that Triton could not load; {} when all are loaded or nothing answers."""
    connection = http.client.HTTPConnection(http_url, timeout=timeout_s)
    try:
        connection.request("POST", "/v2/repository/index", body=b"{}")
        index = json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError):
        return {}
    finally:
        connection.close()
    reasons = {
        item["name"]: _readable_reason(item.get("reason", ""))
        for item in index
        if item.get("state") != "READY" and (item.get("state") == "UNAVAILABLE" or "reason" in item)
    }
    known = {item["name"] for item in index if item.get("state")}
    unnamed = "Triton gave no reason; its config.pbtxt may be unreadable"
    return {name: reasons.get(name) or unnamed for name in models if name in reasons or name not in known}


def _readable_reason(reason: str) -> str:
    """Triton's reason on one line, without its own prefixes and the Python stack of our backends."""
    reason = reason.split("\n\nAt:", 1)[0]
    reason = re.sub(r"^(Internal|Invalid argument|Not found|Unavailable|Unsupported): ", "", reason)
    reason = re.sub(r"(\w+: )?TritonModelException: ", "", reason)
    return " ".join(reason.split()).rstrip(";")
