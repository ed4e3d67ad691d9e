"""What the Gradio page shows, offers and takes."""

from __future__ import annotations

import json
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from photofinish.client.ui.page.page import build_page, mount_view_page
from photofinish.client.ui.page.panels import PanelContext
from photofinish.client.ui.page.split_view import Choice
from tests.builders import build_card

CAMERA = "rtsp://admin:hunter2@camera.example:554/stream?token=hunter2"


def build_view() -> Any:
    choice = Choice(source=CAMERA, baseline="toy_a", optimised="toy_b")
    return SimpleNamespace(choice=choice, chosen=[], cards=dict)


def build_context(view: Any, *, is_public: bool = False) -> PanelContext:
    return PanelContext(view=view, is_public=is_public, app=FastAPI(openapi_url=None), stop=threading.Event())


def start_of(page: Any) -> Any:
    """The function behind the Start button, as an English page calls it."""
    start = next(item.fn for item in page.fns.values() if item.api_name == "start")
    return lambda *values: start(*values, None)


def test_a_shared_page_knows_no_password_and_still_starts_the_camera() -> None:
    view = build_view()
    view.choose = view.chosen.append
    page = build_page(build_context(view, is_public=True))
    assert "hunter2" not in json.dumps(page.get_config_file(), default=str)
    start = start_of(page)
    start("rtsp://camera.example:554/stream", "toy_a", "toy_b", "camera")
    assert view.chosen == [Choice(source=CAMERA, baseline="toy_a", optimised="toy_b", pace="camera")]
    with pytest.raises(Exception, match="this page is shared") as refusal:
        start("/etc/passwd", "toy_a", "toy_b", "camera")
    assert "hunter2" not in str(refusal.value)


def test_the_own_page_shows_no_password_either() -> None:
    view = build_view()
    view.choose = view.chosen.append
    page = build_page(build_context(view))
    assert "hunter2" not in json.dumps(page.get_config_file(), default=str)
    refresh = next(item.fn for item in page.fns.values() if item.fn is not None and item.fn.__name__ == "refresh")
    assert "hunter2" not in repr([vars(part) for part in refresh()])
    start_of(page)("rtsp://camera.example:554/stream", "toy_a", "toy_b", "free")
    assert view.chosen[0].source == CAMERA
    view.choice = Choice(source=CAMERA.replace("stream", "other"), baseline="toy_a", optimised="toy_b")
    start_of(page)("rtsp://camera.example:554/other", "toy_a", "toy_b", "free")
    assert view.chosen[1].source == view.choice.source


def test_the_own_page_starts_what_was_typed() -> None:
    view = build_view()
    view.choose = view.chosen.append
    start_of(build_page(build_context(view)))(" clip.mp4 ", "toy_a", "toy_b", "free")
    assert view.chosen[0].source == "clip.mp4"


def test_nobody_can_upload_and_no_file_is_given_out() -> None:
    app = FastAPI(openapi_url=None)
    mount_view_page(app, build_context(build_view(), is_public=True), ())
    with TestClient(app) as client:
        assert client.post("/gradio_api/upload", files={"files": ("a.bin", b"x" * 1000)}).status_code == 413
        assert client.get("/gradio_api/file=/etc/passwd").status_code == 403
        assert client.get("/gradio_api/file=pyproject.toml").status_code == 403


def test_another_model_moves_both_sides() -> None:
    """One run has one network, and every published variant is in the lists."""
    shas = {"toy": "a" * 64, "other": "b" * 64}
    cards = {
        f"{model}_{suffix}": build_card(variant=f"{model}_{suffix}", model=model, weights_sha256=shas[model], **more)
        for model in ("toy", "other")
        for suffix, more in (("torch", {"role": "baseline"}), ("onnx", {}), ("slow", {"backend": "pytorch"}))
    }
    cards["alone_onnx"] = build_card(variant="alone_onnx", model="alone", weights_sha256="c" * 64)
    view = build_view()
    view.choice = Choice(source="synthetic", baseline="toy_torch", optimised="toy_onnx")
    view.cards = lambda: cards
    page = build_page(build_context(view))
    functions = {item.fn.__name__: item.fn for item in page.fns.values() if item.fn is not None}
    _, network, baseline, optimised, _ = (vars(part) for part in functions["refresh"]())
    names = [text.partition(" ")[0] for text, _ in network["choices"]]
    assert sorted(names) == ["other", "toy"], "a network with one variant has no two sides"
    assert network["value"].startswith("toy ")
    assert [value for _, value in baseline["choices"]] == ["toy_torch"]
    assert [value for _, value in optimised["choices"]] == ["toy_onnx", "toy_slow"]
    other = next(text for text, _ in network["choices"] if text.startswith("other"))
    left, right = (vars(part) for part in functions["change_network"](other))
    assert (left["value"], right["value"]) == ("other_torch", "other_onnx")
