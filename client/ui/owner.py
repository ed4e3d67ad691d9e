"""Who started the page, where others can reach it too: whoever shows the key that the terminal has."""

from __future__ import annotations

import hmac
import secrets

from starlette.requests import Request

HEADER = "x-photofinish-owner"
PARAMETER = "owner"
"""The key in a link, for what a browser fetches by itself, and for the page's first visit."""


class Owner:
    """Tells the owner's requests from others'. On a page for this machine alone every request is the owner's.

    Neither the peer's address nor the host's name would do: a tunnel and a proxy bring everybody's requests from
    this machine, under names that they choose.
    """

    def __init__(self, *, is_public: bool) -> None:
        self.key = secrets.token_urlsafe(16) if is_public else ""

    def link(self, url: str) -> str:
        """The page's address with the key, for its owner alone; "" where every visitor is the owner."""
        return f"{url}?{PARAMETER}={self.key}" if self.key else ""

    def is_owner(self, request: Request) -> bool:
        """Whether the request shows the key, in the header or in its address."""
        if not self.key:
            return True
        shown = request.headers.get(HEADER) or request.query_params.get(PARAMETER) or ""
        return hmac.compare_digest(shown.encode(), self.key.encode())
