"""The page before the view: progress at its address, an error where it ends, and the place left to what follows."""

from __future__ import annotations

import json
import threading
import urllib.request

import pytest

from photofinish.client.ui.page.app import Hosting, page_start
from photofinish.client.ui.page.front.preparing import LINES_SHOWN, PROGRESS_PATH, Preparation
from photofinish.errors import ExportError


def fetched(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return str(answer.read().decode())


def test_the_page_is_there_at_once_and_shows_what_is_told() -> None:
    told: list[str] = []
    hosting = Hosting(port=0, root_path="/cam", language="zh")
    with pytest.raises(ExportError), page_start(hosting, on_progress=told.append) as start:  # noqa: PT012
        url = told[0].removeprefix("Page: ")
        page = fetched(url)
        assert 'PHOTOFINISH_ASKED = "zh"' in page
        assert "正在准备" in page
        start.tell("exporting toy")
        progress = json.loads(fetched(url.rstrip("/") + PROGRESS_PATH))
        assert progress["lines"] == ["exporting toy"]
        assert progress["error"] == ""
        seen: list[str] = []
        looking = threading.Thread(target=lambda: seen.append(await_error(url)))
        looking.start()
        raise ExportError("the disk is full")
    looking.join()
    assert seen == ["the disk is full"]


def await_error(url: str) -> str:
    """What the page shows as soon as something went wrong."""
    while not (error := json.loads(fetched(url.rstrip("/") + PROGRESS_PATH))["error"]):
        threading.Event().wait(0.05)
    return str(error)


def test_only_the_last_lines_are_kept_and_nobody_waits_for_nobody() -> None:
    preparation = Preparation(clock=lambda: 5.0)
    for number in range(40):
        preparation.tell(str(number))
    preparation.fail("gone")  # nobody looks: no wait
    document = preparation.document()
    assert document["lines"] == [str(number) for number in range(40 - LINES_SHOWN, 40)]
    assert (document["error"], document["seconds"]) == ("gone", 0)


def test_the_frames_that_a_model_looks_at_are_counted_until_it_has_them_all() -> None:
    preparation = Preparation(clock=lambda: 5.0)
    preparation.tell("measuring the accuracy")
    preparation.count("toy", 12, 40)
    assert preparation.document()["frames"] == (12, 40)
    preparation.count("toy", 40, 40)
    assert preparation.document()["frames"] is None
    preparation.count("toy", 1, 40)
    preparation.tell("comparing")
    assert preparation.document()["frames"] is None
