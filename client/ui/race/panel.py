"""The race as a panel of the split view's page: a button, progress, the replay."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import gradio as gr
from fastapi import FastAPI, Query
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.requests import Request

from photofinish.client.ui.owner import Owner
from photofinish.client.ui.page.panels import PagePanel, PanelContext
from photofinish.client.ui.race.desk import RaceDesk, Tell
from photofinish.client.ui.race.places import RaceLayout
from photofinish.client.ui.race.replay import Race
from photofinish.client.ui.words import Language, WordedError
from photofinish.errors import ServerUnavailableError

ASSETS = Path(__file__).resolve().parent / "assets"
SHORTEST_S, LONGEST_S = 2.0, 60.0
VIEW_RACE_S = 10.0
NO_STORE = {"Cache-Control": "no-store"}

ViewRacer = Callable[[PanelContext, float, Tell], Race]
"""Measures a race on the view's server and source, which nothing else uses meanwhile."""


def race_panel(racer: ViewRacer) -> PagePanel:
    """The panel; `racer` measures."""
    return PagePanel(
        key="race",
        title="race.title",
        build=partial(build_race_panel, racer=racer),
        script=ASSETS / "race.js",
        style=ASSETS / "race.css",
    )


def build_race_panel(context: PanelContext, racer: ViewRacer) -> None:
    """Fill the tab and serve its routes."""

    desk = RaceDesk(partial(race_alone, context, racer), context.stop, context.view.machine_use.beside)
    context.resources.enter_context(desk)
    add_race_routes(context.app, desk, context.owner)
    gr.HTML((ASSETS / "race.html").read_text(encoding="utf-8"), padding=False)


def race_alone(context: PanelContext, racer: ViewRacer, seconds: float, tell: Tell) -> Race:
    """A race with the machine for itself. Raises WordedError where the view's own server ended meanwhile."""
    try:
        with context.view.paused(context.stop):
            return racer(context, seconds, tell)
    except ServerUnavailableError as exc:
        if context.view.is_server_recovering():
            raise WordedError("page.reserved.recovering") from exc
        raise


def add_race_routes(app: FastAPI, desk: RaceDesk, owner: Owner) -> None:
    """Start, for the owner alone; state, replay and last picture, below /race/.

    What would have to be drawn while something is measured is refused for that long, as `{"word": …}`.
    """
    drawn: dict[tuple[int, Language, RaceLayout, str], asyncio.Task[Path | None]] = {}

    async def made(kind: str, language: Language, layout: RaceLayout) -> Path | None:
        """Drawn once however many ask for it; they wait without holding a thread each."""
        key = (desk.last[0] if desk.last else 0, language, layout, kind)
        task = drawn.get(key)
        if task is None or task.done():
            make = desk.video if kind == "video" else desk.still
            task = drawn[key] = asyncio.create_task(asyncio.to_thread(make, language, layout))
            task.add_done_callback(lambda _: drawn.pop(key, None))
        return await asyncio.shield(task)

    @app.post("/race/start")
    async def start(
        request: Request, seconds: Annotated[float, Query(ge=SHORTEST_S, le=LONGEST_S)] = VIEW_RACE_S
    ) -> Response:
        if not owner.is_owner(request):
            return JSONResponse({"started": False}, status_code=403)
        if desk.start(seconds):
            return JSONResponse({"started": True}, status_code=202)
        return JSONResponse({"started": False}, status_code=409)

    @app.get("/race/state")
    async def state(request: Request, language: Language = "en") -> Response:
        return JSONResponse({**desk.state(language), "may_start": owner.is_owner(request)}, headers=NO_STORE)

    async def answer(kind: str, language: Language, layout: RaceLayout) -> Response:
        try:
            path = await made(kind, language, layout)
        except WordedError as exc:
            return JSONResponse({"word": exc.word, "values": exc.values}, status_code=503, headers=NO_STORE)
        if path is None:
            return JSONResponse({"error": "there was no race yet"}, status_code=404)
        if kind == "still":
            return FileResponse(path, media_type="image/jpeg")
        return FileResponse(path, media_type="video/mp4", filename="race.mp4", content_disposition_type="inline")

    @app.get("/race/replay.mp4")
    async def replay(language: Language = "en", layout: RaceLayout = "wide") -> Response:
        return await answer("video", language, layout)

    @app.get("/race/last.jpg")
    async def last(language: Language = "en", layout: RaceLayout = "wide") -> Response:
        return await answer("still", language, layout)
