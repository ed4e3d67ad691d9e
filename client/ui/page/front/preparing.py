"""The page from the first second on: what is being made, line by line, until the split view takes its place."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, JSONResponse

from photofinish.client.ui.page.server import WebServer
from photofinish.client.ui.page.sub_path import SubPath
from photofinish.client.ui.page.trusted_hosts import HostGuard, TrustedHosts
from photofinish.client.ui.words import LANGUAGES, Language, room_words
from photofinish.errors import PhotofinishError

ASSETS = Path(__file__).resolve().parents[1] / "assets"
PROGRESS_PATH = "/view/progress"
LINES_SHOWN = 14
_LOOKS_S = 2.0
"""Who asked so lately still looks at the page."""


class Preparation:
    """What has been told so far. Any thread may tell and look."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began_s = clock()
        self._lines: list[str] = []
        self._error = ""
        self._frames: tuple[int, int] | None = None
        self._asked_s: float | None = None
        self._was_seen = threading.Event()

    def tell(self, line: str) -> None:
        """One line more of progress."""
        self._frames = None
        self._lines.append(line)
        del self._lines[:-LINES_SHOWN]

    def count(self, name: str, done: int, total: int) -> None:
        """How many frames a model has looked at, until the next line or its last frame."""
        self._frames = (done, total) if done < total else None

    def fail(self, error: str) -> None:
        """Nothing comes after this; waits a moment for the page to show it, if somebody looks at it."""
        self._error = error
        self._was_seen.clear()
        if self._asked_s is not None and self._clock() - self._asked_s < _LOOKS_S:
            self._was_seen.wait(_LOOKS_S)

    def document(self) -> dict[str, object]:
        """What the page shows now."""
        self._asked_s = self._clock()
        if self._error:
            self._was_seen.set()
        seconds = round(self._clock() - self._began_s)
        return {"lines": list(self._lines), "seconds": seconds, "frames": self._frames, "error": self._error}


def preparing_html(asked: Language | None) -> str:
    """The page that asks for the progress, and for the split view as soon as it is there."""
    words = {language: {"page": room_words(language)["page"]} for language in LANGUAGES}
    given = json.dumps(words, ensure_ascii=False).replace("</", "<\\/")
    language = (ASSETS / "language.js").read_text(encoding="utf-8")
    script = f"const PHOTOFINISH_WORDS = {given};\nconst PHOTOFINISH_ASKED = {json.dumps(asked)};\n{language}"
    return (ASSETS / "preparing.html").read_text(encoding="utf-8").replace("/*script*/", script)


@contextmanager
def preparing_page(
    listener: socket.socket, hosts: TrustedHosts, *, root_path: str = "", asked: Language | None = None
) -> Iterator[Preparation]:
    """Show the progress at the listener's address while the block runs; the listener stays open behind it.

    An error of ours that leaves the block is shown as what went wrong.
    """
    preparation, app = Preparation(), FastAPI(openapi_url=None)
    page = preparing_html(asked)

    @app.get("/")
    async def root() -> HTMLResponse:
        return HTMLResponse(page, headers={"Cache-Control": "no-store"})

    @app.get(PROGRESS_PATH)
    async def progress() -> JSONResponse:
        return JSONResponse(preparation.document(), headers={"Cache-Control": "no-store"})

    guarded = HostGuard(SubPath(app, root_path), hosts)
    with WebServer(guarded, listener.dup(), threading.Event()):
        try:
            yield preparation
        except PhotofinishError as exc:
            preparation.fail(str(exc))
            raise
