"""Asking a running Triton for its state: readiness over gRPC, the repository index over HTTP."""

from __future__ import annotations

import http.client
import json
import re
import socket
from collections.abc import Iterable, Mapping

import grpc

from photofinish.access.token import HTTP_HEADER

_READY = b"\x08\x01"
"""A ServerReadyResponse whose only field is true."""

INDEX_TIMEOUT_S = 2.0


def is_ready(grpc_url: str, timeout_s: float) -> bool:
    """Whether the server says over gRPC that it and its models are ready; False when nothing answers in time."""
    # gRPC would send even loopback calls to the proxy that the environment names.
    with grpc.insecure_channel(grpc_url, options=[("grpc.enable_http_proxy", 0)]) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ServerReady")
        try:
            return bool(call(b"", timeout=timeout_s, wait_for_ready=True) == _READY)
        except grpc.RpcError:
            return False


def accepts_connections(url: str) -> bool:
    """Whether something listens at "host:port"."""
    host, _, port = url.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1.0).close()
    except OSError:
        return False
    return True


def load_failures(
    http_url: str, models: Iterable[str], unread: Mapping[str, str], *, token: str = ""
) -> Mapping[str, str]:
    """The reason for each of `models` that Triton could not load; {} when all are loaded or nothing answers yet.

    unread: reasons of the models that Triton's index does not list, because it could not read their directory. token:
    what the server wants to be shown.
    """
    connection = http.client.HTTPConnection(http_url, timeout=INDEX_TIMEOUT_S)
    try:
        connection.request("POST", "/v2/repository/index", body=b"{}", headers={HTTP_HEADER: token} if token else {})
        index = {item["name"]: item for item in json.loads(connection.getresponse().read())}
    except (OSError, http.client.HTTPException, ValueError, TypeError, KeyError):  # a server that ends answers an error
        return {}
    finally:
        connection.close()
    failures = {}
    for name in models:
        if name not in index or "state" not in index[name]:
            failures[name] = unread.get(name, "Triton did not find it in the repository")
        elif index[name]["state"] == "UNAVAILABLE":
            failures[name] = _readable_reason(index[name].get("reason", "Triton gave no reason"))
    return failures


def _readable_reason(reason: str) -> str:
    """Triton's reason on one line, without its own prefixes and the Python stack of our backends."""
    reason = reason.split("\n\nAt:", 1)[0]
    reason = re.sub(r"^(Internal|Invalid argument|Not found|Unavailable|Unsupported): ", "", reason)
    reason = re.sub(r"(\w+: )?TritonModelException: ", "", reason)
    return " ".join(reason.split()).rstrip(";")
