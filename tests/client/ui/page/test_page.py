"""What the Gradio page shows, offers and takes."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from photofinish.client.ui.page.page import build_page, mount_page
from photofinish.client.ui.page.split_view import Choice

CAMERA = "rtsp://admin:hunter2@camera.example:554/stream?token=hunter2"


def build_view() -> Any:
    return SimpleNamespace(
        url="127.0.0.1:1", choice=Choice(source=CAMERA, baseline="toy_a", optimised="toy_b"), chosen=[]
    )


def start_of(page: Any) -> Any:
    """The function behind the Start button."""
    return next(item.fn for item in page.fns.values() if item.api_name == "start")


def test_a_shared_page_knows_no_password_and_still_starts_the_camera() -> None:
    view = build_view()
    view.choose = view.chosen.append
    page = build_page(view, is_public=True)
    assert "hunter2" not in json.dumps(page.get_config_file(), default=str)
    start = start_of(page)
    start("rtsp://camera.example:554/stream", "toy_a", "toy_b", "at the camera's rate")
    assert view.chosen == [Choice(source=CAMERA, baseline="toy_a", optimised="toy_b", pace="camera")]
    with pytest.raises(Exception, match="this page is shared") as refusal:
        start("/etc/passwd", "toy_a", "toy_b", "at the camera's rate")
    assert "hunter2" not in str(refusal.value)


def test_the_own_page_shows_no_password_either() -> None:
    view = build_view()
    view.choose = view.chosen.append
    page = build_page(view, is_public=False)
    assert "hunter2" not in json.dumps(page.get_config_file(), default=str)
    refresh = next(item.fn for item in page.fns.values() if item.fn is not None and item.fn.__name__ == "refresh")
    assert "hunter2" not in repr([vars(part) for part in refresh()])
    start_of(page)("rtsp://camera.example:554/stream", "toy_a", "toy_b", "as fast as possible")
    assert view.chosen[0].source == CAMERA
    view.choice = Choice(source=CAMERA.replace("stream", "other"), baseline="toy_a", optimised="toy_b")
    start_of(page)("rtsp://camera.example:554/other", "toy_a", "toy_b", "as fast as possible")
    assert view.chosen[1].source == view.choice.source


def test_the_own_page_starts_what_was_typed() -> None:
    view = build_view()
    view.choose = view.chosen.append
    start_of(build_page(view, is_public=False))(" clip.mp4 ", "toy_a", "toy_b", "as fast as possible")
    assert view.chosen[0].source == "clip.mp4"


def test_nobody_can_upload_and_no_file_is_given_out() -> None:
    app = FastAPI(openapi_url=None)
    mount_page(app, build_page(build_view(), is_public=True))
    with TestClient(app) as client:
        assert client.post("/gradio_api/upload", files={"files": ("a.bin", b"x" * 1000)}).status_code == 413
        assert client.get("/gradio_api/file=/etc/passwd").status_code == 403
        assert client.get("/gradio_api/file=pyproject.toml").status_code == 403
