"""The page in a real Chromium, against a fake server whose two models differ in speed."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest

from tests.client.fake_triton import wait_for
from tests.client.ui.browser import PIXELS, find_chromium
from tests.client.ui.conftest import Opened
from tests.client.ui.served import BASELINE, OPTIMISED

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(find_chromium() is None, reason="no Chromium on PATH; on Debian: apt install chromium"),
]

COUNT_PAINTED = """new Promise(resolve => {
  const image = document.querySelector('#pf-stream'), canvas = document.createElement('canvas');
  canvas.width = 1296; canvas.height = 1;
  const context = canvas.getContext('2d', { willReadFrequently: true });
  const begin = performance.now();
  let last = '', painted = 0;
  const look = () => {
    context.drawImage(image, 0, 366, 1296, 1, 0, 0, 1296, 1);
    const now = context.getImageData(0, 0, 1296, 1).data.join();
    if (now !== last) { last = now; painted += 1; }
    const seconds = (performance.now() - begin) / 1000;
    if (seconds < 3) requestAnimationFrame(look); else resolve(painted / seconds);
  };
  requestAnimationFrame(look);
})"""
"""Different pictures painted per second; the strip of ticks moves with every picture."""


def test_both_panels_move(opened: Opened) -> None:
    first = opened.browser.evaluate(PIXELS)
    deadline = time.monotonic() + 60
    moved = [False, False]
    while not all(moved) and time.monotonic() < deadline:
        now = opened.browser.evaluate(PIXELS)
        moved = [was or a != b for was, a, b in zip(moved, first, now, strict=True)]
    assert moved == [True, True], "baseline and optimised panel"


def test_the_stream_is_painted_as_fast_as_the_pipelines_work(opened: Opened) -> None:
    """20 pictures a second, or, on a machine too busy for the pipeline itself, most of what the pipeline does."""
    board = opened.running.view.boards["optimised"]
    measured = []
    for _ in range(4):
        begin, done = time.monotonic(), board.frames_done
        painted_per_s = opened.browser.evaluate(COUNT_PAINTED)
        done_per_s = (board.frames_done - done) / (time.monotonic() - begin)
        measured.append((round(painted_per_s, 1), round(done_per_s, 1)))
        if painted_per_s >= min(20, 0.7 * done_per_s):
            return
    pytest.fail(f"pictures painted and frames done per second: {measured}")


def test_numbers_change_and_agree_with_the_counters(opened: Opened) -> None:
    boards = opened.running.view.boards
    for side in boards:
        before = int(opened.text(f"sides.{side}.done").replace(",", ""))
        shown = f"""document.querySelector('[data-text="sides.{side}.done"]').textContent.replace(',', '')"""
        opened.browser.wait_for(f"Number({shown}) > {before}")
        behind = boards[side].frames_done - int(opened.text(f"sides.{side}.done").replace(",", ""))
        assert 0 <= behind <= 150, "the page shows the counter as it was at most about a second ago"
        assert float(opened.text(f"sides.{side}.fps")) > 0
        assert float(opened.text(f"sides.{side}.p50")) >= (120 if side == "baseline" else 25)
    assert float(opened.text("ratio.first").rstrip("×")) > 1.5
    assert opened.text("sides.optimised.how") == "ONNX Runtime · FP32 · shared memory"


def test_an_untrained_model_is_said_on_the_screen(opened: Opened) -> None:
    assert "its boxes mean nothing" in opened.browser.evaluate("document.querySelector('#pf-warnings').textContent")


def test_nothing_is_fetched_from_elsewhere_not_even_from_the_address_behind_the_tunnel(opened: Opened) -> None:
    foreign = [url for url in opened.browser.requested if not url.startswith((opened.url, "data:", "blob:"))]
    assert foreign == []
    assert opened.browser.errors == []


def test_variants_are_learnt_from_the_server(opened: Opened) -> None:
    values = "[...document.querySelectorAll('#pf-controls input')].map(input => input.value)"
    opened.browser.wait_for(f"{values}.includes('{OPTIMISED}')")
    shown = opened.browser.evaluate(values)
    assert shown[:3] == ["synthetic?width=640&height=360", BASELINE, OPTIMISED]


def test_a_killed_worker_is_shown_and_recovers(opened: Opened) -> None:
    pid = opened.running.view.state().sides["baseline"].child.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    trouble = """document.querySelector('[data-text="sides.baseline.trouble"]').textContent"""
    opened.browser.wait_for(f"{trouble}.includes('ended by SIGKILL')", 60)
    opened.browser.wait_for(f"{trouble} === ''", 60)


def test_every_tab_says_that_the_server_is_lost_and_another_start_loads_the_page_anew(opened: Opened) -> None:
    opened.browser.evaluate(
        """(() => {
          const real = window.fetch; window.before = true; window.answer = "lost";
          window.fetch = async (address, ...rest) => {
            if (!String(address).startsWith("view/state")) return real(address, ...rest);
            if (window.answer === "lost") throw new TypeError("no server");
            const screen = await (await real(address, ...rest)).json();
            return { ok: true, json: async () => ({ ...screen, run: window.answer }) };
          };
          document.querySelector('#pf-tab-picture-button').click();
        })()"""
    )
    opened.browser.wait_for("document.querySelector('#pf-lost').offsetParent !== null", 60)
    where = """(() => { const box = (path) => document.querySelector(path).getBoundingClientRect();
      return box('#pf-lost').bottom <= box('#pf-tab-picture-button').top; })()"""
    assert opened.browser.evaluate(where), "it lies on no tab"
    opened.browser.evaluate("void (window.answer = 'another start')")
    opened.browser.wait_for("window.before !== true && document.querySelector('#pf')?.dataset.state === 'live'", 60)
    assert opened.browser.evaluate("document.querySelector('#pf-lost').hidden")


def test_start_begins_anew(opened: Opened) -> None:
    boards = opened.running.view.boards
    before = boards["optimised"].frames_done
    opened.browser.evaluate("document.querySelector('button.primary').click()")
    wait_for(lambda: boards["optimised"].frames_done < before, 60)
    wait_for(lambda: boards["optimised"].frames_done >= 5, 60)


def test_a_phone_shows_both_panels_one_above_the_other(opened: Opened, tmp_path: Path) -> None:
    browser = opened.browser
    browser.resize(390, 844)
    try:
        browser.wait_for("document.querySelector('#pf-stream').naturalHeight === 764", 60)
        assert browser.evaluate("document.documentElement.scrollWidth") <= 390
        browser.screenshot(tmp_path / "phone.png")
        assert (tmp_path / "phone.png").stat().st_size > 10_000
    finally:
        browser.resize(1280, 800)


def test_the_page_stays_dark_when_the_system_turns_light(opened: Opened) -> None:
    browser = opened.browser
    brand = "getComputedStyle(document.querySelector('#pf-head .pf-brand')).color"
    before = browser.evaluate(brand)
    try:
        for scheme in ("dark", "light"):
            browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
            browser.evaluate("new Promise(resolve => setTimeout(resolve, 300))")
            assert browser.evaluate(brand) == before, scheme
    finally:
        browser.call("Emulation.setEmulatedMedia", features=[])


def test_the_switch_changes_the_whole_page_and_is_remembered(opened: Opened) -> None:
    """Our own HTML, what Gradio draws, and what the server says."""
    browser = opened.browser
    seen = "document.querySelector('#pf-head, #pf').closest('main').innerText"

    def press(expected: str) -> str:
        browser.wait_for("document.querySelector('#pf-language') !== null", 60)
        browser.evaluate("document.querySelector('#pf-language').click()")
        browser.wait_for(f"document.documentElement.lang === '{expected}'", 60)
        browser.wait_for("document.querySelector('#pf')?.dataset.state === 'live'", 60)
        browser.wait_for("document.querySelector('button.primary')?.innerText", 60)
        return str(browser.evaluate(seen))

    try:
        chinese = press("zh-CN")
        for word in ("P50 延迟", "实时对比", "视频源", "开始", "轮流运行", "该模型未经训练"):
            assert word in chinese, word
        for word in ("latency", "Start", "Source", "Live", "Optimised", "frames per second"):
            assert word not in chinese, word
        browser.open(opened.url)
        browser.wait_for("document.documentElement.lang === 'zh-CN'", 60)
        browser.wait_for("document.querySelector('#pf')?.dataset.state === 'live'", 60)
    finally:
        english = press("en")
    assert not re.search(r"[\u4e00-\u9fff]", english.replace("中文", "")), "the switch alone names the other language"
    assert "P50 latency" in english


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_the_whole_view_is_on_the_first_screen_with_its_banner(opened: Opened, width: int, height: int) -> None:
    browser = opened.browser
    browser.resize(width, height)
    last = "#pf .pf-foot" if width > 760 else "#pf .pf-side.pf-optimised"
    try:
        browser.wait_for(f"innerWidth === {width} && document.querySelector('#pf-warnings')?.offsetHeight > 0")
        browser.wait_for(f"document.querySelector('{last}').getBoundingClientRect().bottom <= innerHeight")
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
        if width > 760:
            assert browser.evaluate("document.querySelector('#pf-controls').getBoundingClientRect().bottom") <= height
    finally:
        browser.resize(1280, 800)


@pytest.mark.parametrize("width", [390, 820, 1000, 1280])
def test_no_figure_leaves_its_place(opened: Opened, width: int) -> None:
    browser = opened.browser
    browser.resize(width, 1100)
    try:
        browser.wait_for(f"innerWidth === {width}")
        wide = (
            "[...document.querySelectorAll('#pf dd, #pf dt')].filter(node => node.scrollWidth > node.clientWidth + 1)"
        )
        assert browser.evaluate(f"{wide}.map(node => node.innerText)") == []
    finally:
        browser.resize(1280, 800)
