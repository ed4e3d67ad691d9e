"""What Ultralytics' Triton client sends to a server that asks for a token."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from photofinish.export.rival_child import send_headers

triton_grpc: Any = pytest.importorskip("tritonclient.grpc")


def test_every_client_sends_the_headers_from_its_first_request_on(monkeypatch: pytest.MonkeyPatch) -> None:
    original = triton_grpc.InferenceServerClient
    monkeypatch.setattr(triton_grpc, "InferenceServerClient", original)
    send_headers({"triton-grpc-protocol-photofinish": "secret"})
    with triton_grpc.InferenceServerClient("127.0.0.1:1") as client:
        request = SimpleNamespace(headers={"a": "b"})
        client.plugin()(request)
    assert request.headers == {"a": "b", "triton-grpc-protocol-photofinish": "secret"}


def test_an_open_server_gets_the_client_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    original = triton_grpc.InferenceServerClient
    send_headers({})
    assert triton_grpc.InferenceServerClient is original
