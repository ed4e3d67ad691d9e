"""The addresses of "Measure properly": start and stop for the owner, progress and reports for whoever sees the page."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.requests import Request

from photofinish.client.ui.measuring.measurement import Measurement
from photofinish.client.ui.measuring.runs import KeptRun
from photofinish.client.ui.owner import Owner

STATE_PATH, START_PATH, STOP_PATH = "/measuring/state", "/measuring/start", "/measuring/stop"
RUNS_PATH = "/measuring/runs"
NO_STORE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
INERT = {
    **NO_STORE,
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:",
}
"""A report runs nothing and loads nothing, wherever it is opened."""
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".pdf": "application/pdf",
    ".json": "application/json",
}


def add_measuring_routes(app: FastAPI, measurement: Measurement, owner: Owner) -> None:
    """Serve them. On a page that others reach they see what was measured from it, and start nothing.

    The owner's list brings a ticket for each run: a report's link opens that run, whoever gets it.
    """

    def listed(run: KeptRun, is_owner: bool) -> dict[str, Any]:
        return {**asdict(run), "ticket": owner.ticket(run.name) if is_owner else ""}

    @app.get(STATE_PATH)
    async def state(request: Request) -> Response:
        is_owner = owner.is_owner(request)
        runs = await run_in_threadpool(lambda: measurement.runs.newest(None if is_owner else measurement.made))
        document = {**measurement.document(), "may_start": is_owner, "runs": [listed(run, is_owner) for run in runs]}
        return JSONResponse(document, headers=NO_STORE)

    @app.post(START_PATH)
    async def start(request: Request) -> Response:
        if not owner.is_owner(request):
            return _refused(403, "measuring.problem.not_owner")
        if not await run_in_threadpool(measurement.begin):
            return _refused(409, "measuring.problem.running")
        return JSONResponse({}, headers=NO_STORE)

    @app.post(STOP_PATH)
    async def stop(request: Request) -> Response:
        if not owner.is_owner(request):
            return _refused(403, "measuring.problem.not_owner")
        measurement.stop()
        return JSONResponse({}, headers=NO_STORE)

    @app.get(f"{RUNS_PATH}/{{name}}/{{kind}}")
    async def file(request: Request, name: str, kind: str) -> Response:
        if name not in measurement.made and not owner.may_read(request, name):
            return _refused(404, "measuring.problem.no_run")
        path = await run_in_threadpool(lambda: measurement.runs.file(name, kind))
        if path is None:
            return _refused(404, "measuring.problem.no_run")
        is_shown = path.suffix == ".html" and "download" not in request.query_params
        return FileResponse(path, media_type=MEDIA_TYPES[path.suffix], filename=path.name, headers=INERT,
                            content_disposition_type="inline" if is_shown else "attachment")  # fmt: skip


def _refused(status: int, word: str) -> Response:
    return JSONResponse({"word": word, "values": {}}, status_code=status, headers=NO_STORE)
