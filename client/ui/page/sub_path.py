"""The page below a path of somebody else's server: what a reverse proxy leaves of an address, and what it should be."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from photofinish.errors import ConfigError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")


def root_path_from_text(text: str) -> str:
    """`/cam` for `/cam`, `cam` and `/cam/`; "" for `/` and nothing. ConfigError for what is no path."""
    path = f"/{text.strip('/')}" if text.strip("/") else ""
    if path and (not _PATH.fullmatch(path) or {".", ".."} & set(path.split("/"))):
        raise ConfigError(
            f"--root-path {text[:80]!r} is not the path of an address; expected one such as /cam, of letters, digits, "
            "'.', '_', '~' and '-'"
        )
    return path


class SubPath:
    """An ASGI application that answers below `root_path` as well as at its root.

    So it works behind proxies that take the prefix away and behind those that pass it on.
    """

    def __init__(self, app: AsgiApp, root_path: str) -> None:
        self._app = app
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, with the path that the application knows."""
        if scope["type"] not in ("http", "websocket") or not (prefix := self._root_path):
            await self._app(scope, receive, send)
            return
        path = str(scope["path"])
        if path == prefix and scope["type"] == "http":
            query = scope.get("query_string", b"")
            target = prefix.encode() + b"/" + (b"?" + query if query else b"")
            await send({"type": "http.response.start", "status": 307, "headers": [(b"location", target)]})
            await send({"type": "http.response.body", "body": b""})
            return
        if path.startswith(f"{prefix}/"):
            raw = bytes(scope.get("raw_path") or path.encode()).removeprefix(prefix.encode())
            scope = {**scope, "path": path.removeprefix(prefix), "raw_path": raw}
        await self._app(scope, receive, send)
