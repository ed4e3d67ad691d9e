"""Panels: "Try a picture", "Folders and videos" and "Measure properly" in a real Chromium, in both languages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from photofinish.client.ui.words import PageWords
from tests.client.sources.test_sources import write_picture, write_video
from tests.client.ui.browser import Browser, find_chromium
from tests.client.ui.conftest import Opened
from tests.client.ui.picture.test_header import png_header

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(find_chromium() is None, reason="no Chromium on PATH; on Debian: apt install chromium"),
]
PLACES = {"live": "#pf", "picture": "#pic", "videos": "#vid", "measuring": "#mea"}
SAY = "document.querySelector('{}').textContent"


def open_tab(browser: Browser, key: str) -> None:
    """Click a tab, and wait until it is shown."""
    button = f"document.querySelector('#pf-tab-{key}-button')"
    browser.wait_for(f"!!{button}", 60)
    browser.evaluate(f"{button}.click()")
    browser.wait_for(f"!!document.querySelector('{PLACES[key]}')?.offsetParent", 60)


def give_file(browser: Browser, selector: str, path: Path) -> None:
    root = browser.call("DOM.getDocument")["root"]["nodeId"]
    node = browser.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
    browser.call("DOM.setFileInputFiles", files=[str(path)], nodeId=node)


@pytest.fixture
def browser(opened: Opened) -> Iterator[Browser]:
    yield opened.browser
    open_tab(opened.browser, "live")


def shown(browser: Browser) -> Any:
    return json.loads(
        browser.evaluate("""JSON.stringify(Object.fromEntries(['baseline', 'optimised'].map(side => [side, {
          ms: document.querySelector(`#pic-${side}-ms`).textContent,
          variant: document.querySelector(`#pic-${side}-variant`).textContent,
          boxes: [...document.querySelectorAll(`#pic-${side}-boxes li`)].map(item => item.textContent),
          width: document.querySelector(`#pic-${side}`).naturalWidth }])))""")
    )


def test_an_uploaded_picture_is_shown_as_both_sides_see_it(browser: Browser, tmp_path: Path) -> None:
    open_tab(browser, "picture")
    give_file(browser, "#pic-file", write_picture(tmp_path / "a.png"))
    browser.wait_for("document.querySelector('#pic').dataset.state === 'shown'", 60)
    browser.wait_for("document.querySelector('#pic-optimised').naturalWidth > 0")
    sides = shown(browser)
    assert [side["boxes"] for side in sides.values()] == [["car 0.90"], ["car 0.90"]]
    assert [side["width"] for side in sides.values()] == [96, 96]
    assert float(sides["baseline"]["ms"].removesuffix(" ms")) >= 120
    assert 25 <= float(sides["optimised"]["ms"].removesuffix(" ms")) < 120
    said = browser.evaluate(SAY.format("#pic-verdict"))
    assert "× sooner" in said
    assert "Both find the same object" in said
    assert "its boxes mean nothing" in said


def test_the_slider_moves_the_border_between_the_two(browser: Browser) -> None:
    browser.evaluate("""(() => { const slider = document.querySelector('#pic-slider');
      slider.value = 20; slider.dispatchEvent(new Event('input', { bubbles: true })); })()""")
    assert browser.evaluate("getComputedStyle(document.querySelector('#pic-optimised')).clipPath").endswith("20%)")


@pytest.mark.parametrize(
    ("content", "words"),
    [(png_header(50_000, 50_000), "more than 50 megapixels"), (b"hello", "no picture that can be read here")],
    ids=["50,000 x 50,000", "text"],
)
def test_what_is_refused_is_said_in_words(browser: Browser, tmp_path: Path, content: bytes, words: str) -> None:
    open_tab(browser, "picture")
    (tmp_path / "a.png").write_bytes(content)
    give_file(browser, "#pic-file", tmp_path / "a.png")
    browser.wait_for(f"{SAY.format('#pic-note')}.includes({json.dumps(words)})", 60)
    assert browser.evaluate("document.querySelector('#pic-result').hidden"), "it would be of another picture"


def test_a_pasted_picture_and_an_example(browser: Browser) -> None:
    open_tab(browser, "picture")
    browser.wait_for("document.querySelectorAll('#pic-gallery img').length >= 3", 60)
    browser.evaluate("document.querySelector('#pic-gallery button[data-example=street]').click()")
    browser.wait_for("document.querySelector('#pic-baseline').naturalWidth === 1280", 60)
    browser.evaluate("""new Promise(resolve => {
      const canvas = document.createElement('canvas'); canvas.width = 80; canvas.height = 40;
      canvas.getContext('2d').fillRect(0, 0, 80, 40);
      canvas.toBlob(blob => {
        const data = new DataTransfer(); data.items.add(new File([blob], 'a.png', { type: 'image/png' }));
        document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true })); resolve();
      });
    })""")
    browser.wait_for("document.querySelector('#pic-baseline').naturalWidth === 80", 60)


def test_the_camera_gives_one_picture_after_the_other_until_it_is_stopped(browser: Browser) -> None:
    open_tab(browser, "picture")
    picture = "document.querySelector('#pic-optimised').src"
    before = browser.evaluate(picture)
    browser.evaluate("document.querySelector('#pic-camera').click()")
    for _ in range(2):
        browser.wait_for(f"{picture} !== {json.dumps(before)}", 60)
        before = browser.evaluate(picture)
    assert browser.evaluate(SAY.format("#pic-camera")) == PageWords("en")("picture.camera.stop")
    browser.evaluate("document.querySelector('#pic-camera').click()")
    assert browser.evaluate("document.querySelector('#pic-video').hidden")


def test_a_video_comes_back_with_its_boxes(browser: Browser, opened: Opened, tmp_path: Path) -> None:
    open_tab(browser, "videos")
    give_file(browser, "#vid-file", write_video(tmp_path / "clip.mp4", count=8))
    state, note = "document.querySelector('#vid').dataset.state", SAY.format("#vid-note")
    browser.wait_for(f"{state} === 'done' || ({state} === 'idle' && {note} !== '')", 120)
    said = browser.evaluate(SAY.format("#vid-note"))
    assert said.startswith("Done: 8 frames, 8 boxes"), said
    lines = browser.evaluate("fetch(document.querySelector('#vid-json').href).then(answer => answer.text())")
    assert json.loads(lines.splitlines()[7])["detections"][0]["class"] == "car"
    browser.wait_for("document.querySelector('#vid-player').videoWidth === 96", 60)


def test_a_measurement_is_followed_shown_and_listed(browser: Browser, opened: Opened) -> None:
    open_tab(browser, "measuring")
    browser.wait_for("document.querySelector('#mea-start') && !document.querySelector('#mea-start').hidden", 60)
    browser.evaluate("document.querySelector('#mea-start').click()")
    browser.wait_for("document.querySelector('#mea').dataset.phase === 'done'", 60)
    browser.wait_for("!document.querySelector('#mea-report').hidden", 60)
    assert browser.evaluate("document.querySelectorAll('#mea-runs button').length") == 1
    assert browser.evaluate("document.querySelector('#mea-frame').getAttribute('sandbox')") == ""
    files = browser.evaluate("[...document.querySelectorAll('#mea-files a')].map(link => link.dataset.file)")
    assert files == ["report", "csv", "json"]
    got = browser.evaluate("fetch(document.querySelector('#mea-files a').href).then(answer => answer.text())")
    assert got.startswith("<!doctype html>")
    browser.wait_for("document.querySelector('#mea-frame').src.includes('/measuring/runs/page-')")


def test_on_a_phone_in_chinese_nothing_leaves_the_screen(opened: Opened) -> None:
    browser = opened.browser
    browser.open(f"{opened.url}/?lang=zh")
    leads = {"picture": "picture.lead", "videos": "picture.videos.lead", "measuring": "measuring.lead"}
    try:
        browser.wait_for("window.photofinish?.language === 'zh' && !!document.querySelector('#pf-tabs')", 60)
        for key, lead in leads.items():
            open_tab(browser, key)
            browser.wait_for(f"{SAY.format(f'{PLACES[key]} .pf-lead')} === {json.dumps(PageWords('zh')(lead))}", 60)
            browser.resize(390, 844)
            browser.wait_for("innerWidth === 390")
            assert browser.evaluate("document.documentElement.scrollWidth") <= 390, key
            browser.resize(1280, 800)
            browser.wait_for("innerWidth === 1280")
    finally:
        browser.open(f"{opened.url}/?lang=en")
        browser.wait_for("document.querySelector('#pf')?.dataset.state === 'live'", 60)
