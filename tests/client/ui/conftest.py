"""The page in a real Chromium, against a fake server whose two models differ in speed."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from photofinish.client.ui.page.app import Hosting, RunningView, serve_view
from photofinish.client.ui.page.split_view import Choice
from tests.client.fake_triton import FakeTriton, wait_for
from tests.client.ui.browser import Browser
from tests.client.ui.served import BASELINE, OPTIMISED, toy_models

if TYPE_CHECKING:
    from photofinish.client.ui.page.panels import PagePanel

CAMERA_FLAGS = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
"""Chromium's own moving test picture as a camera, allowed without a question."""


def panels_of(folders: pytest.TempPathFactory) -> Sequence[PagePanel]:
    """The page's panels; what "Measure properly" measures is made up, since a real one takes minutes."""
    from photofinish.client.ui.measuring.panel import MEASURING_PANEL, build_measuring_panel
    from photofinish.client.ui.picture.panel import PICTURE_PANEL, VIDEO_PANEL
    from tests.client.ui.measuring.made_up import made_up_measurement

    measures = partial(made_up_measurement, folders.mktemp("results"))
    return PICTURE_PANEL, VIDEO_PANEL, replace(MEASURING_PANEL, build=partial(build_measuring_panel, measures=measures))


@contextmanager
def tunnel_to(port: int) -> Iterator[str]:
    """Another address for the same page, as a shared link is: bytes pass unchanged both ways."""

    def pass_on(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def accept() -> None:
        with suppress(OSError):
            while True:
                outer, _ = listener.accept()
                inner = socket.create_connection(("127.0.0.1", port))
                for pair in ((outer, inner), (inner, outer)):
                    threading.Thread(target=pass_on, args=pair, daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


@dataclass(frozen=True, kw_only=True)
class Opened:
    """The page, and what it shows."""

    browser: Browser
    running: RunningView
    url: str

    def text(self, path: str) -> str:
        return str(self.browser.evaluate(f"""document.querySelector('[data-text="{path}"]').textContent"""))


@pytest.fixture(scope="package")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """One page in one browser for all tests of it; each leaves it as it found it.

    It works all the while, so it ends with these folders: what comes after would see other programs on the machine.
    """
    choice = Choice(source="synthetic?width=640&height=360", baseline=BASELINE, optimised=OPTIMISED)
    with (
        FakeTriton(*toy_models(untrained=True)) as server,
        serve_view(server.url, choice, Hosting(port=0), load_panels=lambda: panels_of(tmp_path_factory)) as running,
        tunnel_to(int(running.url.rpartition(":")[2])) as url,
        Browser(tmp_path_factory.mktemp("chromium"), flags=CAMERA_FLAGS) as browser,
    ):
        browser.open(f"{url}/?lang=en")
        browser.wait_for("document.querySelector('#pf')?.dataset.state === 'live'", 60)
        wait_for(lambda: min(board.frames_done for board in running.view.boards.values()) >= 10, 60)
        browser.wait_for("document.querySelector('#pf-stream').naturalWidth > 0", 60)
        yield Opened(browser=browser, running=running, url=url)
