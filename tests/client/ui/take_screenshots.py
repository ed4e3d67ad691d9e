"""Pictures of a running page: `python -m tests.client.ui.take_screenshots URL [SECONDS] [--all FOLDER]`.

Without --all those two of docs/images; with it every tab in both languages, at a desk's and at a telephone's width, to
be looked at. A race is run first where there was none, so that its tab has something to show.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import cv2

from photofinish.client.ui.words import LANGUAGES
from tests.client.ui.browser import Browser

IMAGES = Path(__file__).resolve().parents[3] / "docs" / "images"
SIZES = {"split_view.png": (1280, 800), "split_view_phone.png": (390, 844)}
DESK, PHONE = "desk", "phone"
WIDE = (1700, 900)
"""Here every tab has its button, and none is behind the dots."""
SCREENS = {DESK: (1280, 800), PHONE: (390, 844)}
TABS = {"live": "#pf", "race": "#pf-race", "why": "#pf-why", "picture": "#pic", "videos": "#vid", "measuring": "#mea"}
LIVE = "document.querySelector('#pf')?.dataset.state === 'live'"
LENGTH = "Math.min(document.documentElement.scrollHeight, 4000)"
RACE_S = 600.0


def take_screenshots(url: str, settle_s: float) -> None:
    """Write one picture per screen size, once the view has run for a while."""
    has_ratio = """document.querySelector('[data-text="ratio.first"]').textContent !== '–'"""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as profile, Browser(Path(profile)) as browser:
        browser.open(url)
        browser.wait_for(LIVE, 60)
        time.sleep(settle_s)
        for name, size_wh in SIZES.items():
            browser.resize(*size_wh)
            time.sleep(3)
            browser.wait_for(has_ratio, 120)
            save(browser, IMAGES / name)


def take_every_tab(url: str, settle_s: float, folder: Path) -> None:
    """Write `TAB-LANGUAGE-SCREEN.png` for each, of the whole length of the tab."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as profile, Browser(Path(profile)) as browser:
        browser.open(url)
        browser.wait_for(LIVE, 60)
        browser.wait_for(f"{tab_of('race')} != null")
        open_tab(browser, "race")
        if not browser.evaluate("fetch('race/state').then(answer => answer.json()).then(state => state.race)"):
            browser.evaluate("document.querySelector('#pf-race-start').click()")
        browser.wait_for("['done', 'failed'].includes(document.querySelector('#pf-race').dataset.state)", RACE_S)
        for language in LANGUAGES:
            browser.resize(*WIDE)
            browser.open(f"{url.rstrip('/')}/?lang={language}")
            browser.wait_for(LIVE, 120)
            for tab in TABS:
                for screen, size_wh in SCREENS.items():
                    browser.resize(*WIDE)
                    open_tab(browser, tab)
                    browser.resize(*size_wh)
                    time.sleep(settle_s)
                    browser.resize(size_wh[0], max(size_wh[1], browser.evaluate(LENGTH)))
                    time.sleep(1)
                    save(browser, folder / f"{tab}-{language}-{screen}.png")


def tab_of(key: str) -> str:
    """The button of a tab, as an expression."""
    return f"document.querySelector('#pf-tab-{key}-button')"


def open_tab(browser: Browser, key: str) -> None:
    """Open a tab, and wait until its content is seen."""
    browser.wait_for(f"{tab_of(key)} != null", 30)
    browser.evaluate(f"{tab_of(key)}.click()")
    browser.wait_for(f"document.querySelector('{TABS[key]}')?.offsetParent != null", 30)


def save(browser: Browser, path: Path) -> None:
    """What the browser shows, as a small PNG."""
    browser.screenshot(path)
    cv2.imwrite(str(path), cv2.imread(str(path)), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    print(path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("seconds", type=float, nargs="?", help="to let the page settle; 15, with --all 3 a tab")
    parser.add_argument("--all", type=Path, metavar="FOLDER", help="every tab, both languages, both widths")
    given = parser.parse_args()
    if given.all:
        take_every_tab(given.url, given.seconds or 3.0, given.all)
    else:
        take_screenshots(given.url, given.seconds or 15.0)
