"""Talking to a running Triton about its state: liveness, readiness, loading and the repository index."""

from __future__ import annotations

import http.client
import json
import re
from typing import Any

import grpc

_READY = b"\x08\x01"
"""A ServerReadyResponse whose only field is true."""


class ModelLoadError(Exception):
    """Triton refused to load a model; the text is Triton's reason."""


def is_ready(grpc_url: str, timeout_s: float) -> bool:
    """Whether the server says over gRPC that it is ready. False when nothing answers within `timeout_s`."""
    with grpc.insecure_channel(grpc_url) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ServerReady")
        try:
            return bool(call(b"", timeout=timeout_s, wait_for_ready=True) == _READY)
        except grpc.RpcError:
            return False


def load_model(http_url: str, name: str, timeout_s: float) -> None:
    """Load one model and return when it is ready. Raises ModelLoadError with Triton's reason, OSError, TimeoutError."""
    status, body = _post(http_url, f"/v2/repository/models/{name}/load", timeout_s)
    if status != http.client.OK:
        raise ModelLoadError(_readable_reason(name, body))


def unload_model(http_url: str, name: str, timeout_s: float) -> None:
    """Take one model out of service. Raises ModelLoadError with Triton's reason, OSError, TimeoutError."""
    status, body = _post(http_url, f"/v2/repository/models/{name}/unload", timeout_s)
    if status != http.client.OK:
        raise ModelLoadError(_readable_reason(name, body))


def repository_index(http_url: str, timeout_s: float) -> list[dict[str, Any]]:
    """Triton's repository index: name, and where loading was tried version, state and reason."""
    status, body = _post(http_url, "/v2/repository/index", timeout_s)
    if status != http.client.OK:
        raise OSError(f"the repository index answered {status}: {body}")
    index: list[dict[str, Any]] = json.loads(body)
    return index


def _post(http_url: str, path: str, timeout_s: float) -> tuple[int, str]:
    connection = http.client.HTTPConnection(http_url, timeout=timeout_s)
    try:
        connection.request("POST", path, body=b"{}", headers={"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read().decode("utf-8", "replace")
    except http.client.HTTPException as exc:
        raise OSError(f"{type(exc).__name__}: {exc}") from exc
    finally:
        connection.close()


def _readable_reason(name: str, body: str) -> str:
    """Triton's reason on one line, without its own prefixes and the Python stack of our backends."""
    try:
        reason = str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        reason = body
    reason = reason.split("\n\nAt:", 1)[0]
    reason = re.sub(rf"^load failed for model '{re.escape(name)}': ", "", reason)
    reason = re.sub(r"version \d+ is at UNAVAILABLE state: ", "", reason)
    reason = re.sub(r"^(Internal|Invalid argument|Not found|Unavailable): ", "", reason)
    reason = re.sub(r"(\w+: )?TritonModelException: ", "", reason)
    return " ".join(reason.split()).rstrip(";")
