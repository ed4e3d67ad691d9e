"""The page in a real browser: wide, on a phone and on paper, in both languages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from photofinish.perf.judge.findings import findings_from_record
from photofinish.perf.report.html import html_report
from photofinish.perf.report.words import LANGUAGES
from tests.client.ui.browser import Browser, find_chromium
from tests.perf.records import build_comparison, build_ladder, build_record, build_rivals, full_record

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(find_chromium() is None, reason="no Chromium on PATH; on Debian: apt install chromium"),
]

SPILLING = """
[...document.querySelectorAll('body *')].filter(element => {
  const box = element.getBoundingClientRect();
  return !element.closest('.scroll') && (box.right > document.documentElement.clientWidth + 0.5 || box.left < -0.5);
}).map(element => element.tagName + ' ' + element.textContent.slice(0, 40))
"""
CUT_OFF_LABELS = """
[...document.querySelectorAll('svg')].flatMap(picture => {
  const frame = picture.getBoundingClientRect();
  return [...picture.querySelectorAll('text')].filter(label => {
    const box = label.getBoundingClientRect();
    return box.left < frame.left - 1 || box.right > frame.right + 1;
  }).map(label => label.textContent);
})
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("width", [1280, 390, 320])
def test_nothing_spills_over_the_edge(browser: Browser, tmp_path: Path, width: int, lang: str) -> None:
    rivals = build_record(sections=(build_comparison(), build_rivals(), build_ladder()))
    for name, record in (("plain", build_record()), ("full", full_record()), ("rivals", rivals)):
        page = tmp_path / f"{name}.html"
        page.write_text(html_report(findings_from_record(record), lang=lang), encoding="utf-8")
        browser.resize(width, 800)
        browser.open(page.as_uri())
        browser.wait_for(f"document.readyState === 'complete' && location.href === '{page.as_uri()}'")
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
        assert browser.evaluate(SPILLING) == []
        assert browser.evaluate(CUT_OFF_LABELS) == []
    assert [address for address in browser.requested if not address.startswith(("file:", "about:"))] == []
    assert browser.errors == []


def test_on_paper_no_table_hides_a_column(browser: Browser, tmp_path: Path) -> None:
    """Paper cannot be scrolled: every cell must lie inside an A4 page's width, 718 px between its margins."""
    page = tmp_path / "paper.html"
    page.write_text(html_report(findings_from_record(full_record())), encoding="utf-8")
    browser.resize(718, 1000)
    browser.call("Emulation.setEmulatedMedia", media="print")
    try:
        browser.open(page.as_uri())
        browser.wait_for(f"document.readyState === 'complete' && location.href === '{page.as_uri()}'")
        wide = "[...document.querySelectorAll('table')].map(table => table.getBoundingClientRect().right)"
        assert max(browser.evaluate(wide)) <= 718
    finally:
        browser.call("Emulation.setEmulatedMedia", media="")
