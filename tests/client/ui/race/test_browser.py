"""The race's tab in a real Chromium: a button, progress, a replay that plays to its end, both languages, a phone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from photofinish.client.ui.page.app import Hosting, RunningView, serve_view
from photofinish.client.ui.page.panels import PanelContext
from photofinish.client.ui.page.split_view import Choice
from photofinish.client.ui.race.desk import RaceProgress, Tell
from photofinish.client.ui.race.panel import race_panel
from photofinish.client.ui.race.replay import Race
from tests.client.fake_triton import FakeTriton
from tests.client.ui.browser import Browser, find_chromium
from tests.client.ui.race.races import build_race, lane
from tests.client.ui.served import BASELINE, OPTIMISED, toy_models

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(find_chromium() is None, reason="no Chromium on PATH; on Debian: apt install chromium"),
]

VIDEO = "document.querySelector('#pf-race-video')"
TAB = "[...document.querySelectorAll('[role=tab]')].find(tab => /Race|竞速/.test(tab.textContent))"


@dataclass
class StagedRacer:
    """A racer that waits for the test and then brings a race of half a second."""

    go_on: threading.Event = field(default_factory=threading.Event)
    was_paused: bool = False

    def __call__(self, context: PanelContext, seconds: float, tell: Tell) -> Race:
        self.was_paused = context.view.state().is_paused
        tell(RaceProgress(stage="round", number=3, rounds=10, share=0.2))
        assert self.go_on.wait(60)
        return build_race(lanes={"baseline": lane(50, 10), "optimised": lane(10, 10)}, finish=10)


@dataclass(frozen=True, kw_only=True)
class RacePage:
    browser: Browser
    running: RunningView
    racer: StagedRacer

    def text(self, selector: str) -> str:
        return str(self.browser.evaluate(f"document.querySelector({selector!r}).textContent"))

    def races(self) -> int:
        """So many races have been run."""
        return int(self.browser.evaluate("fetch('race/state').then(answer => answer.json()).then(now => now.race)"))

    def require_race(self) -> None:
        """Have one run where no test before has."""
        self.racer.go_on.set()
        if not self.races():
            self.browser.evaluate("fetch('race/start', {method: 'POST'}).then(answer => answer.status)")
            self.browser.wait_for("fetch('race/state').then(answer => answer.json()).then(now => now.race)")

    def open(self, query: str = "") -> None:
        self.browser.open(f"{self.running.url}/{query}")
        self.browser.wait_for("document.querySelector('#pf')?.dataset.state === 'live'", 60)
        self.browser.wait_for(f"{TAB} != null")
        self.browser.evaluate(f"{TAB}.click()")
        self.browser.wait_for("document.querySelector('#pf-race')?.offsetParent != null")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RacePage]:
    choice = Choice(source="synthetic?width=640&height=360", baseline=BASELINE, optimised=OPTIMISED)
    racer = StagedRacer()
    with (
        FakeTriton(*toy_models()) as server,
        serve_view(server.url, choice, Hosting(port=0), load_panels=lambda: (race_panel(racer),)) as running,
        Browser(tmp_path_factory.mktemp("chromium"), flags=("--autoplay-policy=no-user-gesture-required",)) as browser,
    ):
        opened = RacePage(browser=browser, running=running, racer=racer)
        opened.open()
        browser.wait_for("document.querySelector('.pf-race-note').textContent === 'No race yet.'")
        yield opened


def test_a_race_is_started_shown_and_played(page: RacePage, tmp_path: Path) -> None:
    page.browser.resize(*page.browser.size_wh)
    page.racer.go_on.clear()
    page.open()
    races = page.races()
    page.browser.evaluate("document.querySelector('#pf-race-start').click()")
    page.browser.wait_for("document.querySelector('.pf-race-note').textContent === 'Round 3 of 10'", 60)
    assert page.browser.evaluate("document.querySelector('.pf-race-bar').value") == pytest.approx(0.2)
    assert page.browser.evaluate("document.querySelector('#pf-race-start').disabled")
    assert page.racer.was_paused, "nothing is shared while it is measured"
    page.racer.go_on.set()
    page.browser.wait_for("document.querySelector('#pf-race').dataset.state === 'done'", 120)
    page.browser.wait_for(f"{VIDEO}.src.endsWith('race={races + 1}') && {VIDEO}.ended", 60)
    assert page.browser.evaluate(f"[{VIDEO}.videoWidth, {VIDEO}.videoHeight]") == [1280, 720]
    assert page.browser.evaluate(f"{VIDEO}.duration") == pytest.approx(5.5, abs=0.2)
    assert page.text("#pf-race-said").startswith("Optimised wins by 0.40 s and 8 frames")
    assert page.browser.evaluate("document.querySelector('#pf-race-download').href.includes('race/replay.mp4')")
    assert page.browser.errors == []


def test_a_phone_in_chinese_gets_its_own_replay(page: RacePage) -> None:
    page.require_race()
    page.browser.resize(390, 844)
    page.browser.open(f"{page.running.url}/?lang=zh")
    page.browser.wait_for("document.querySelector('#pf .pf-race-last') != null", 60)
    assert not page.browser.evaluate("document.querySelector('#pf-race')"), "nobody opened the race's tab"
    page.open("?lang=zh")
    page.browser.wait_for("document.querySelector('#pf-race').dataset.state === 'done'", 120)
    page.browser.wait_for(f"{VIDEO}.videoWidth > 0")
    assert page.browser.evaluate(f"[{VIDEO}.videoWidth, {VIDEO}.videoHeight]") == [630, 1120]
    assert page.text("#pf-race-said").startswith("优化侧胜出，领先 0.40 秒、8 帧")
    assert page.text("#pf-race-start") == "再赛一次"
    assert page.browser.evaluate("document.documentElement.scrollWidth") <= 390
    stage = page.browser.evaluate("document.querySelector('#pf .pf-race-last').dataset.source")
    assert "last.jpg" in stage, "the live view keeps the last race for when it stands still"
