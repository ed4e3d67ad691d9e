"""The pictures of docs/images, from a running page: `python -m tests.client.ui.take_screenshots URL [SECONDS]`."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import cv2

from tests.client.ui.browser import Browser

IMAGES = Path(__file__).resolve().parents[3] / "docs" / "images"
SIZES = {"split_view.png": (1280, 800), "split_view_phone.png": (390, 844)}


def take_screenshots(url: str, settle_s: float) -> None:
    """Write one picture per screen size, once the view has run for a while."""
    has_ratio = """document.querySelector('[data-text="ratio.first"]').textContent !== '–'"""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as profile, Browser(Path(profile)) as browser:
        browser.open(url)
        browser.wait_for("document.querySelector('#pf')?.dataset.state === 'live'", 60)
        time.sleep(settle_s)
        for name, size_wh in SIZES.items():
            browser.resize(*size_wh)
            time.sleep(3)
            browser.wait_for(has_ratio, 120)
            shot = Path(profile) / "shot.png"
            browser.screenshot(shot)
            cv2.imwrite(str(IMAGES / name), cv2.imread(str(shot)), [cv2.IMWRITE_PNG_COMPRESSION, 9])
            print(IMAGES / name)


if __name__ == "__main__":
    take_screenshots(sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 15.0)
