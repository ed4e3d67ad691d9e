"""The experiment that abuses a page, on a small one: it finds what leaks and what grows, and nothing on ours."""

from __future__ import annotations

import copy
import json
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response

from experiments.faults.page_abuse import (
    PARTS,
    AbusedPage,
    abuse,
    ask_for_files,
    huge_png,
    listening_pid,
    open_tabs,
    page_held,
    photo,
    send_many,
)
from photofinish.client.ui.page.server import WebServer, open_listener
from photofinish.client.ui.picture.examples import Examples
from photofinish.client.ui.picture.header import size_from_header
from photofinish.client.ui.picture.routes import add_picture_routes
from tests.conftest import CHECKOUT


class Sides:
    """Answers every picture at once."""

    def document(self, image: np.ndarray) -> dict[str, Any]:
        return {"size_wh": [image.shape[1], image.shape[0]]}


def test_the_page_holds_and_a_page_that_leaks_is_found(monkeypatch: Any) -> None:
    monkeypatch.setattr("experiments.faults.page_abuse.UPLOADS", 30)
    monkeypatch.setattr("experiments.faults.page_abuse.TABS", 3)
    monkeypatch.setattr("experiments.faults.page_abuse.TAB_S", 0.2)
    monkeypatch.setattr("experiments.faults.page_abuse.SETTLE_S", 0.0)
    monkeypatch.setattr("experiments.faults.page_abuse.photo", lambda: photo()[:0] or b"no picture")
    app, stop = FastAPI(openapi_url=None), threading.Event()
    add_picture_routes(app, Sides(), Examples())  # type: ignore[arg-type]

    @app.get("/view/state")
    async def state() -> Response:
        return JSONResponse({})

    @app.get("/file=/{name:path}")
    async def leak(name: str) -> Response:
        return Response(Path(f"/{name}").read_bytes() if name == "etc/passwd" else b"")

    with WebServer(app, open_listener("127.0.0.1", 0), stop) as web:
        port = web.address.port
        assert listening_pid(port) == os.getpid()
        parts = {"tabs": open_tabs, "many": send_many, "huge": PARTS["50,000 x 50,000"], "files": ask_for_files}
        found = abuse(web.address.url, os.getpid(), parts)
    assert found["alive"]
    assert found["tabs"]["states"] == {200: 3}
    assert set(found["many"]["answers"]) <= {415, 503}
    assert found["huge"]["status"] == 413
    assert found["files"]["leaked"] == ["file=/etc/passwd"]
    assert AbusedPage(web.address.url).ask("GET", "view/state") == (0, b"")


def test_what_is_sent_is_what_it_says() -> None:
    assert size_from_header(huge_png()) == (50_000, 50_000)
    assert len(huge_png()) < 200
    assert size_from_header(photo()) == (4000, 3000)


def test_a_page_that_reads_beyond_its_bound_did_not_hold() -> None:
    found = json.loads((CHECKOUT / "results" / "cpu2_page_abuse.json").read_text())
    assert page_held(found)
    for part, key, value in (
        ("a gigabyte", "picture/try announced", {"sent_mib": 953}),
        ("50,000 x 50,000", "status", 200),
        ("foreign files", "leaked", ["etc/passwd"]),
    ):
        other = copy.deepcopy(found)
        other[part][key] = value
        assert not page_held(other), part
    assert not page_held({**found, "alive": False})
