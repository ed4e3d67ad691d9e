"""Who started the page, where others can reach it too: whoever shows the key that the terminal has."""

from __future__ import annotations

import hashlib
import hmac
import secrets

from starlette.requests import Request

HEADER = "x-photofinish-owner"
PARAMETER = "owner"
"""The key in the terminal's link, for the page's first visit: the page keeps it and takes it out of its address."""
TICKET = "ticket"
"""What a link shows instead that a browser fetches by itself: it opens one run and nothing else."""


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
        """Whether the request shows the key in its header: an address is shown, forwarded and kept in histories."""
        if not self.key:
            return True
        return hmac.compare_digest(request.headers.get(HEADER, "").encode(), self.key.encode())

    def ticket(self, run: str) -> str:
        """What opens the files of that run to whoever has it, until the page ends; "" where everybody may read."""
        return hmac.new(self.key.encode(), run.encode(), hashlib.sha256).hexdigest() if self.key else ""

    def may_read(self, request: Request, run: str) -> bool:
        """Whether the request shows the key, or the run's ticket in its address."""
        shown = request.query_params.get(TICKET, "")
        return self.is_owner(request) or hmac.compare_digest(shown.encode(), self.ticket(run).encode())
