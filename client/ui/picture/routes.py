"""The addresses of "Try a picture": an upload is looked at, answered and forgotten."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response
from starlette.requests import Request

from photofinish.client.ui.page.machine_use import MachineUse
from photofinish.client.ui.picture.bounds import (
    Queue,
    RefusedError,
    bounded_body,
    picture_from_upload,
    refused_for_now,
)
from photofinish.client.ui.picture.examples import Examples
from photofinish.client.ui.picture.trying import TwoSides
from photofinish.client.ui.words import COOKIE, WordedError, language_from_request, translated
from photofinish.errors import PhotofinishError

TRY_PATH = "/picture/try"
EXAMPLES_PATH = "/picture/examples"
GRADIO_UPLOAD_PATH = "/gradio_api/upload"
"""Gradio would refuse a file, and read all of a body that holds none; here none of it is read."""
BODIES, WAITING, WAIT_S = 2, 16, 20.0
"""Uploads that are held in memory at once, that wait for it, and for how long."""
NO_STORE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_log = logging.getLogger(__name__)


def add_picture_routes(app: FastAPI, sides: TwoSides, examples: Examples, use: MachineUse | None = None) -> None:
    """Serve them. What goes wrong is `{"word": …, "values": …}`, which the page says in its language.

    use: the machine's; while something is measured there, a picture is refused before it is read. None: of its own.
    """
    machine_use = use or MachineUse()

    def look(content: bytes) -> dict[str, Any]:
        with machine_use.beside():
            return sides.document(picture_from_upload(content))

    queue = Queue(inside=BODIES, waiting=WAITING, wait_s=WAIT_S)

    @app.post(TRY_PATH)
    async def try_picture(request: Request) -> Response:
        try:
            machine_use.require_free()
            async with queue.place():
                content = await bounded_body(request)
                document = await run_in_threadpool(lambda: look(content))
        except RefusedError as exc:
            return refusal(exc)
        except WordedError as exc:
            return refusal(refused_for_now(exc))
        except PhotofinishError as exc:
            language = language_from_request(request.cookies.get(COOKIE))
            return refusal(RefusedError(502, "picture.problem.server", message=translated(str(exc), language)))
        return JSONResponse(document, headers=NO_STORE)

    @app.post(GRADIO_UPLOAD_PATH)
    async def no_upload() -> Response:
        return refusal(RefusedError(413, "picture.problem.too_large", limit=0))

    @app.get(EXAMPLES_PATH)
    async def list_examples() -> Response:
        return JSONResponse({"examples": list(examples.names)}, headers=NO_STORE)

    @app.get(f"{EXAMPLES_PATH}/{{name}}")
    async def example(name: str) -> Response:
        content = await run_in_threadpool(lambda: examples.content(name))
        if content is None:
            return refusal(RefusedError(404, "picture.problem.no_example"))
        return Response(content, media_type="image/jpeg", headers={**NO_STORE, "Cache-Control": "max-age=3600"})


def refusal(exc: RefusedError) -> Response:
    """What a browser gets for an upload that is not taken; the connection ends, so that the rest of it is not read."""
    _log.info("an upload was refused: %s", exc.word)
    return JSONResponse(
        {"word": exc.word, "values": exc.values},
        status_code=exc.status,
        headers={**NO_STORE, "Connection": "close"},
    )
