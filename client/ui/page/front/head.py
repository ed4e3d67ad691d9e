"""The head of the page as browsers and chat programs get it: our words first, and our name, sentence and picture.

Gradio runs what `head` holds only once its own code has chosen a language, and offers its own name and picture to
whoever previews a link. So the page's head is written here, on its way out.
"""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from html import escape
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import FileResponse

from photofinish.client.ui.page.sub_path import AsgiApp, Receive, Scope, Send

ASSETS = Path(__file__).resolve().parents[1] / "assets"
PREVIEW_PATH = "/view/preview.jpg"
FAVICON = ASSETS / "favicon.svg"
_PREVIEWS = re.compile(rb"<meta\s+(?:property|name)=\"(?:og|twitter):[^>]*>\s*")
_SCHEME = re.compile(r"https?")


def add_preview_route(app: FastAPI) -> None:
    """Serve the picture that a link to the page shows."""

    @app.get(PREVIEW_PATH)
    async def preview() -> FileResponse:
        return FileResponse(ASSETS / "preview.jpg", media_type="image/jpeg")


class PageHead:
    """An ASGI application whose page at / has this script before any other, and these words in a link's preview."""

    def __init__(self, app: AsgiApp, *, script: str, title: str, description: str, root_path: str = "") -> None:
        self._app = app
        self._script = script
        self._title = title
        self._description = description
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; the page's answer is held back until it is whole."""
        if scope["type"] != "http" or scope["path"] != "/":
            await self._app(scope, receive, send)
            return
        begin: MutableMapping[str, Any] | None = None
        body = b""

        async def send_whole(message: MutableMapping[str, Any]) -> None:
            nonlocal begin, body
            if message["type"] == "http.response.start":
                begin = message
                return
            body += message.get("body", b"")
            if message.get("more_body") or begin is None:
                return
            headers = [(name, value) for name, value in begin["headers"] if name.lower() != b"content-length"]
            kind = next((value for name, value in headers if name.lower() == b"content-type"), b"")
            whole = self._rewritten(body, _address(scope, self._root_path)) if kind.startswith(b"text/html") else body
            headers.append((b"content-length", str(len(whole)).encode()))
            await send({**begin, "headers": headers})
            await send({"type": "http.response.body", "body": whole})

        await self._app(scope, receive, send_whole)

    def _rewritten(self, page: bytes, address: str) -> bytes:
        """The page with our head; a page without one stays as it is."""
        shown = {
            "og:type": "website",
            "og:site_name": "Photofinish",
            "og:title": self._title,
            "og:description": self._description,
            "og:url": f"{address}/",
            "og:image": f"{address}{PREVIEW_PATH}",
            "twitter:card": "summary_large_image",
            "twitter:title": self._title,
            "twitter:description": self._description,
            "twitter:image": f"{address}{PREVIEW_PATH}",
        }
        tags = [
            f'<meta {"property" if key.startswith("og") else "name"}="{key}" content="{escape(value)}">'
            for key, value in shown.items()
        ]
        tags.append(f'<meta name="description" content="{escape(self._description)}">')
        head = f"<head>\n{''.join(tags)}\n<script>{self._script}</script>"
        return _PREVIEWS.sub(b"", page).replace(b"<head>", head.encode(), 1)


def _address(scope: Scope, root_path: str) -> str:
    """Where the page was asked for, without a slash at the end; a proxy's word for scheme and host counts."""
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    host = headers.get("x-forwarded-host") or headers.get("host", "")
    told = headers.get("x-forwarded-proto", "").partition(",")[0].strip()
    scheme = told if _SCHEME.fullmatch(told) else str(scope.get("scheme", "http"))
    return f"{scheme}://{host.partition(',')[0].strip()}{root_path}"
