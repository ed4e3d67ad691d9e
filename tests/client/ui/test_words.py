"""Both languages say the same things, and every word that is asked for is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from photofinish.client.ui.words import ROOMS, PageWords, flat_words, language_from_request

ENGLISH, CHINESE = flat_words("en"), flat_words("zh")
OWN_WORDS = "cameras"
"""The room whose page brings its words, and the test of them, itself."""
ASKED = (
    re.compile(r'\b(?:words|label|context\.label|said)\(\s*"([a-z0-9_.]+)"'),
    re.compile(r'data-word(?:-[a-z-]+)?="([a-z0-9_.]+)"'),
    re.compile(r'\bphotofinish\.word\("([a-z0-9_.]+)"'),
)
"""How Python, HTML and JavaScript ask for a word."""
MADE = re.compile(r'f"((?:[a-z0-9_]+\.)+)\{|"((?:[a-z0-9_]+\.)+[a-z0-9_]+)"')


def sources() -> list[Path]:
    found = (path for suffix in ("py", "html", "js") for path in ROOMS.rglob(f"*.{suffix}"))
    return sorted(path for path in found if path.relative_to(ROOMS).parts[0] != OWN_WORDS)


def test_both_languages_have_the_same_words() -> None:
    assert set(ENGLISH) == set(CHINESE)
    assert {path.partition(".")[0] for path in ENGLISH} >= {"page", OWN_WORDS}
    places = {path: [set(re.findall(r"\{\w+\}", words[path])) for words in (ENGLISH, CHINESE)] for path in ENGLISH}
    assert {path: found for path, found in places.items() if found[0] != found[1]} == {}


def test_chinese_is_chinese() -> None:
    """Names and units may be the same in both; a sentence may not."""
    alike = [ENGLISH[path] for path in ENGLISH if ENGLISH[path] == CHINESE[path]]
    assert [text for text in alike if re.search("[a-z]{3,} [a-z]{2,}", text)] == []


def test_every_word_that_is_asked_for_is_there() -> None:
    asked = {word for path in sources() for form in ASKED for word in form.findall(path.read_text(encoding="utf-8"))}
    assert {word for word in asked if word not in ENGLISH} == set()
    assert len(asked) > 20


def test_every_word_is_asked_for() -> None:
    """By its whole path, or by one that is made of its beginning."""
    texts = "\n".join(path.read_text(encoding="utf-8") for path in sources())
    begun = {begin for begin, _ in MADE.findall(texts) if begin}
    unused = {
        word
        for word in ENGLISH
        if word.partition(".")[0] != OWN_WORDS and f'"{word}"' not in texts and not word.startswith(tuple(begun))
    }
    assert unused == set()


def test_what_fills_a_word_is_text() -> None:
    words = PageWords("en")
    assert words("page.warning.notice", side="{notice}", notice="{side} {0}") == "{notice}: {side} {0}"
    assert words("page.warning.notice", side="x").endswith("{notice}")
    with pytest.raises(KeyError):
        words("page.no_such_word")


@pytest.mark.parametrize(
    ("cookie", "accepted", "asked", "expected"),
    [
        ("zh", "en-GB", "en", "zh"),
        ("xx", "zh-CN,zh;q=0.9", None, "zh"),
        (None, "zh-CN", "en", "en"),
        (None, "de, zh", None, "en"),
        (None, "", None, "en"),
    ],
)
def test_the_page_then_the_command_line_then_the_browser_choose(
    cookie: str | None, accepted: str, asked: str | None, expected: str
) -> None:
    assert language_from_request(cookie, accepted, asked) == expected  # type: ignore[arg-type]
