"""The page under a path of a reverse proxy: its pictures, figures and controls."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from photofinish.client.ui.page.app import Hosting, RunningView, serve_view
from photofinish.client.ui.page.split_view import Choice
from photofinish.client.ui.page.sub_path import SubPath, root_path_from_text
from photofinish.errors import ConfigError
from tests.client.fake_triton import FakeTriton, wait_for
from tests.client.ui.browser import PIXELS, Browser, find_chromium
from tests.client.ui.proxy import reverse_proxy
from tests.client.ui.served import BASELINE, OPTIMISED, toy_models

needs_chromium = pytest.mark.skipif(
    find_chromium() is None, reason="no Chromium on PATH; on Debian: apt install chromium"
)
DONE = """Number(document.querySelector('[data-text="sides.SIDE.done"]').textContent.replace(',', ''))"""


@pytest.mark.parametrize(
    ("text", "path"),
    [("", ""), ("/", ""), ("/cam", "/cam"), ("cam", "/cam"), ("/cam/", "/cam"), ("/site/cam-1", "/site/cam-1")],
)
def test_a_root_path_has_one_spelling(text: str, path: str) -> None:
    assert root_path_from_text(text) == path


@pytest.mark.parametrize("text", ["https://host/cam", "/a b", "/../x", "/cam?x=1", "/a//b", "/<script>"])
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="expected one such as /cam"):
        root_path_from_text(text)


def asked(root_path: str, path: str) -> tuple[str, list[Any]]:
    """The path that the application sees, and what was answered without it."""
    seen: list[dict[str, Any]] = []
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {}

    scope = {"type": "http", "path": path, "raw_path": path.encode(), "query_string": b"a=1", "headers": []}
    asyncio.run(SubPath(app, root_path)(scope, receive, send))
    return str(seen[0]["path"]) if seen else "", sent


def test_the_path_is_the_same_whether_a_proxy_strips_the_prefix_or_not() -> None:
    for path in ("/cam/view/state", "/view/state"):
        assert asked("/cam", path)[0] == "/view/state"
    assert asked("/cam", "/camera")[0] == "/camera"
    assert asked("", "/cam/view/state")[0] == "/cam/view/state"


def test_the_path_without_its_slash_leads_to_the_page() -> None:
    _, (start, _) = asked("/cam", "/cam")
    assert (start["status"], start["headers"]) == (307, [(b"location", b"/cam/?a=1")])


UNASKED = {"/favicon.ico", "/manifest.json", "/static/js/iframeResizer.contentWindow.min.js"}
"""What Chromium and Gradio's page ask of every host; the page needs neither."""


@pytest.fixture(scope="module")
def running() -> Iterator[RunningView]:
    choice = Choice(source="synthetic?width=640&height=360", baseline=BASELINE, optimised=OPTIMISED)
    with (
        FakeTriton(*toy_models()) as server,
        serve_view(server.url, choice, Hosting(port=0, root_path="/cam")) as view,
    ):
        yield view


def port_of(view: RunningView) -> int:
    return urlsplit(view.url).port or 0


@pytest.mark.browser
@needs_chromium
@pytest.mark.parametrize("strips", [True, False], ids=["as Caddy's handle_path", "as nginx's proxy_pass"])
def test_pictures_figures_and_controls_work_under_a_path(running: RunningView, strips: bool, tmp_path: Path) -> None:
    with reverse_proxy(port_of(running), "/cam", strips=strips) as proxy, Browser(tmp_path) as browser:
        browser.open(f"{proxy.url}/")
        browser.wait_for("document.querySelector('#pf')?.dataset.state === 'live'", 60)
        browser.wait_for("document.querySelector('#pf-stream').naturalWidth > 0", 60)
        for side in ("baseline", "optimised"):
            done = DONE.replace("SIDE", side)
            browser.wait_for(f"{done} > {browser.evaluate(done) or 0}")
        first, deadline = browser.evaluate(PIXELS), time.monotonic() + 30
        while any(was == now for was, now in zip(first, browser.evaluate(PIXELS), strict=True)):
            assert time.monotonic() < deadline, "both panels move"
        values = "[...document.querySelectorAll('#pf-controls input')].map(input => input.value)"
        browser.wait_for(f"{values}.includes('{OPTIMISED}')")
        before = running.view.boards["optimised"].frames_done
        browser.evaluate("document.querySelector('button.primary').click()")
        wait_for(lambda: running.view.boards["optimised"].frames_done < before, 60)
        browser.evaluate("0")
        assert set(proxy.outside) <= UNASKED
        here = (proxy.url, "data:", "blob:", *(f"{proxy.url.removesuffix('/cam')}{path}" for path in UNASKED))
        assert [url for url in browser.requested if not url.startswith(here)] == []
        assert browser.errors == []


@pytest.mark.browser
@needs_chromium
def test_a_page_asked_for_without_its_slash_goes_there(running: RunningView, tmp_path: Path) -> None:
    with reverse_proxy(port_of(running), "/cam", strips=False) as proxy, Browser(tmp_path) as browser:
        browser.open(proxy.url)
        browser.wait_for("location.pathname === '/cam/'", 60)
