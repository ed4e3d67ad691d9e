"""tritonclient as a stranger's program uses it, with the token of a server of this user's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import tritonclient.grpc as triton

from photofinish.access.token import access_to


class _Request(Protocol):
    headers: Mapping[str, str] | None


class ShowToken(triton.InferenceServerClientPlugin):
    """Shows every request's server its token."""

    def __init__(self, grpc_url: str) -> None:
        self._headers = access_to(grpc_url).grpc_headers or {}

    def __call__(self, request: _Request) -> None:
        request.headers = {**(request.headers or {}), **self._headers}


def asking(grpc_url: str) -> triton.InferenceServerClient:
    """A client that the server at this address answers."""
    client = triton.InferenceServerClient(grpc_url)
    client.register_plugin(ShowToken(grpc_url))
    return client
