"""A room's panel on the page: a tab behind the view, with words, routes and files of its own."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from photofinish.client.ui.page.page import mount_view_page
from photofinish.client.ui.page.panels import PagePanel, PanelContext
from photofinish.client.ui.page.split_view import Choice
from photofinish.client.ui.panels import PANELS
from photofinish.client.ui.words import COOKIE, PageWords


def build_context() -> PanelContext:
    view: Any = SimpleNamespace(cards=dict, choice=Choice(source="synthetic", baseline="a", optimised="b"))
    return PanelContext(view=view, is_public=False, app=FastAPI(openapi_url=None), stop=threading.Event())


def build_toy_panel(context: PanelContext) -> None:
    def answer(request: gr.Request) -> str:
        return context.words(request)("page.live")

    @context.app.get("/toy/state")
    async def state() -> dict[str, str]:
        return {"toy": "here"}

    shown = gr.Textbox(label=context.label("page.live"))
    gr.Button(context.label("page.choose.start")).click(answer, None, shown, api_name="toy")


def test_a_panel_brings_a_tab_a_route_and_a_script(tmp_path: Path) -> None:
    context = build_context()
    (tmp_path / "toy.js").write_text("/* toy script */")
    (tmp_path / "toy.css").write_text("#toy { color: red; }")
    panel = PagePanel(
        key="toy", title="page.live", build=build_toy_panel, script=tmp_path / "toy.js", style=tmp_path / "toy.css"
    )
    mount_view_page(context.app, context, (panel,))
    with TestClient(context.app) as client:
        config = client.get("/config").json()
        tabs = [part["props"]["id"] for part in config["components"] if part["type"] == "tabitem"]
        assert tabs == ["live", "toy"]
        assert config["i18n_translations"]["zh-CN"]["page.live"] == PageWords("zh")("page.live")
        page = client.get("/").text
        assert "/* toy script */" in page
        assert client.get("/toy/state").json() == {"toy": "here"}
        called = client.post("/gradio_api/run/toy", json={"data": []}, headers={"cookie": f"{COOKIE}=zh"})
        assert called.json()["data"] == [PageWords("zh")("page.live")]
        called = client.post("/gradio_api/run/toy", json={"data": []})
        assert called.json()["data"] == [PageWords("en")("page.live")]


def test_a_label_without_a_word_is_found_when_the_page_is_built() -> None:
    with pytest.raises(KeyError, match=r"no word page\.nowhere"):
        build_context().label("page.nowhere")


def test_every_panel_of_the_page_has_a_key_and_a_title_of_its_own() -> None:
    assert len({panel.key for panel in PANELS}) == len(PANELS)
    for panel in PANELS:
        assert PageWords("en").has(panel.title)
