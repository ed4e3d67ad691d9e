"""A stranger's page in a real browser: its name leads to this machine, and it tries the split view and Triton."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from photofinish.client.ui.page.app import Hosting, RunningView, serve_view
from photofinish.client.ui.page.split_view import Choice
from tests.client.fake_triton import FakeTriton
from tests.client.ui.browser import Browser, find_chromium
from tests.client.ui.served import BASELINE, OPTIMISED, toy_models

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(find_chromium() is None, reason="no Chromium on PATH; on Debian: apt install chromium"),
]
REBOUND = "--host-resolver-rules=MAP *.example 127.0.0.1"
TRIES = """(async () => {
  const tries = {
    state: () => fetch(BASE + '/view/state').then(answer => answer.text()),
    config: () => fetch(BASE + '/config').then(answer => answer.text()),
    start: () => fetch(BASE + '/gradio_api/queue/join', {method: 'POST', headers: {'Content-Type': 'text/plain'},
      body: JSON.stringify({data: ['/etc/passwd', 'a', 'b', 'free'], fn_index: 0, session_hash: 'x'})
    }).then(answer => answer.text()),
    picture: () => new Promise(resolve => {
      const image = new Image(), canvas = document.createElement('canvas');
      image.onerror = () => resolve('');
      image.onload = () => {
        try { canvas.getContext('2d').drawImage(image, 0, 0); canvas.toDataURL(); resolve('pixels'); }
        catch (error) { resolve(''); }
      };
      setTimeout(() => resolve(''), 5000);
      image.src = BASE + '/view/stream.mjpg';
    }),
  };
  const found = {};
  for (const [name, attempt] of Object.entries(tries)) {
    try { found[name] = String(await attempt()); } catch (error) { found[name] = ''; }
  }
  return JSON.stringify(found);
})()"""


@pytest.fixture(scope="module")
def running() -> Iterator[RunningView]:
    with FakeTriton(*toy_models()) as server:
        choice = Choice(source="synthetic?width=320&height=180", baseline=BASELINE, optimised=OPTIMISED)
        hosting = Hosting(port=0, trusted_hosts=("cam.example",))
        with serve_view(server.url, choice, hosting) as view:
            yield view


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<title>free kittens</title>")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def strangers_port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Page) as server:
        threading.Thread(target=partial(server.serve_forever, poll_interval=0.05), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def tried(browser: Browser, page: str, base: str) -> dict[str, str]:
    """What the page at `page` finds at `base`: text of each answer, "" where the browser keeps it."""
    browser.open(page)
    browser.wait_for(f"location.href === {json.dumps(page)} && document.readyState === 'complete'", 60)
    found: dict[str, str] = json.loads(browser.evaluate(TRIES.replace("BASE", json.dumps(base))))
    return found


def test_a_page_that_takes_this_machines_address_gets_words_alone(running: RunningView, tmp_path: Path) -> None:
    """With a name that leads to 127.0.0.1 the page, its password, frames and controls were the stranger's."""
    port = urlsplit(running.url).port
    with Browser(tmp_path, flags=(REBOUND,)) as browser:
        found = tried(browser, f"http://evil.example:{port}/", "")
    assert found.pop("picture") == ""
    assert all("does not answer to the name evil.example" in text for text in found.values()), found
    assert running.view.choice.source.startswith("synthetic")


def test_a_page_from_elsewhere_reads_nothing_and_starts_nothing(
    running: RunningView, strangers_port: int, tmp_path: Path
) -> None:
    with Browser(tmp_path, flags=(REBOUND,)) as browser:
        for page in (f"http://evil.example:{strangers_port}/", f"http://localhost:{strangers_port}/"):
            found = tried(browser, page, running.url)
            assert set(found.values()) == {""}, found
    assert running.view.choice.source.startswith("synthetic")


def test_a_trusted_name_is_the_page_itself(running: RunningView, tmp_path: Path) -> None:
    port = urlsplit(running.url).port
    with Browser(tmp_path, flags=(REBOUND,)) as browser:
        browser.open(f"http://cam.example:{port}/")
        browser.wait_for("document.querySelector('#pf')?.dataset.state === 'live'", 60)
        browser.wait_for("document.querySelector('#pf-stream').naturalWidth > 0", 60)
