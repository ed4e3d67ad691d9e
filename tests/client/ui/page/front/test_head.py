"""What a browser and a program that previews links get of the page's head."""

from __future__ import annotations

import re

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, PlainTextResponse
from fastapi.testclient import TestClient

from photofinish.client.ui.page.front.head import FAVICON, PREVIEW_PATH, PageHead, add_preview_route

GRADIO_PAGE = """<html><head>
  <meta property="og:title" content="Gradio" />
  <meta
      property="og:image"
      content="https://elsewhere.example/header.jpg" />
  <meta name="twitter:creator" content="@Gradio" />
  <script type="module" src="./x.js"></script></head><body></body></html>"""


def build_client(root_path: str = "") -> TestClient:
    app = FastAPI(openapi_url=None)
    add_preview_route(app)
    app.add_middleware(PageHead, script="first()", title='A "name"', description="A sentence.", root_path=root_path)
    app.get("/")(lambda: HTMLResponse(GRADIO_PAGE))
    app.get("/text")(lambda: PlainTextResponse("<head>"))
    return TestClient(app, base_url="http://127.0.0.1:7860")


def tags(page: str) -> dict[str, str]:
    return dict(re.findall(r'<meta (?:property|name)="([^"]+)" content="([^"]*)">', page))


def test_a_links_preview_has_our_name_and_picture() -> None:
    page = build_client().get("/").text
    assert "Gradio" not in page
    assert "elsewhere.example" not in page
    assert tags(page)["og:title"] == "A &quot;name&quot;"
    assert tags(page)["og:image"] == f"http://127.0.0.1:7860{PREVIEW_PATH}"
    assert page.index("first()") < page.index("x.js"), "the language is chosen before Gradio looks for one"


def test_behind_a_proxy_the_addresses_are_the_proxys() -> None:
    asked = {"x-forwarded-proto": "https", "x-forwarded-host": "cam.example"}
    found = tags(build_client("/cam").get("/", headers=asked).text)
    assert found["og:url"] == "https://cam.example/cam/"
    assert found["twitter:image"] == f"https://cam.example/cam{PREVIEW_PATH}"
    spoilt = tags(build_client().get("/", headers={"x-forwarded-proto": 'x"><script>'}).text)
    assert spoilt["og:url"] == "http://127.0.0.1:7860/"


def test_nothing_else_is_touched() -> None:
    assert build_client().get("/text").text == "<head>"


def test_the_picture_is_served_and_small() -> None:
    answer = build_client().get(PREVIEW_PATH)
    assert answer.headers["content-type"] == "image/jpeg"
    assert 5_000 < len(answer.content) < 200_000
    assert FAVICON.read_text(encoding="utf-8").startswith("<svg")
