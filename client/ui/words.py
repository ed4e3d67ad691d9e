"""What the pages say, in English and Chinese: each room's words lie in its own assets/words.json."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

from photofinish.errors import ConfigError

ROOMS = Path(__file__).resolve().parent
Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
COOKIE = "photofinish-language"
"""What the page tells the server about the language that it shows."""


class PageWords:
    """The words of one language. A word's path begins with its room: `page.start` lies in page/assets/words.json."""

    def __init__(self, language: Language) -> None:
        self.language: Language = language
        self._words = flat_words(language)

    def __call__(self, path: str, /, **values: object) -> str:
        """The word with `{name}` replaced by each value. KeyError for a path that is in no words.json."""
        text = self._words[path]
        # Not str.format: what a value holds is text, whatever braces are in it.
        return _filled(text, values)

    def has(self, path: str) -> bool:
        """Whether there is such a word."""
        return path in self._words


class WordedError(ConfigError):
    """What cannot be done now, as a word that each page tells in its language; its own text is English."""

    def __init__(self, word: str, /, **values: str | int) -> None:
        super().__init__(PageWords("en")(word, **values))
        self.word = word
        self.values = values


def said(error: BaseException, say: PageWords) -> str:
    """An error in a page's language where it has words in it, else as it is."""
    if isinstance(error, WordedError):
        return say(error.word, **error.values)
    return translated(str(error), say.language) or type(error).__name__


def translated(message: str, language: Language) -> str:
    """What the code says in English, by the rooms' messages.json; what is in none of them stays as it is."""
    if language == "en":
        return message
    for pattern, keys, text in _messages():
        if found := pattern.fullmatch(message):
            values = (translated(value, language) for value in found.groups())
            return _filled(text, dict(zip(keys, values, strict=True)))
    return message


@lru_cache
def _messages() -> tuple[tuple[re.Pattern[str], tuple[str, ...], str], ...]:
    """Every message as a pattern, the names of its blanks, and its Chinese; those with the fewest blanks first."""
    paths = sorted(ROOMS.glob("*/assets/messages.json"))
    rows = [row for path in paths for row in json.loads(path.read_text(encoding="utf-8"))]
    made = []
    for said_by_code, chinese in sorted(rows, key=lambda row: (row[0].count("{"), -len(row[0]))):
        parts = [re.escape(part) for part in re.split(r"\{\w+\}", said_by_code)]
        keys = tuple(re.findall(r"\{(\w+)\}", said_by_code))
        made.append((re.compile("(.+?)".join(parts), re.DOTALL), keys, chinese))
    return tuple(made)


def _filled(text: str, values: Mapping[str, object]) -> str:
    """`text` with each `{name}` replaced once; what was put in is not looked at again."""
    parts = []
    rest = text
    while rest:
        before, brace, after = rest.partition("{")
        name, end, following = after.partition("}")
        if brace and end and name in values:
            parts += [before, str(values[name])]
            rest = following
        else:
            parts.append(before + brace)
            rest = after
    return "".join(parts)


@lru_cache
def room_words(language: Language) -> Mapping[str, Any]:
    """Every room's words of that language, by room, as they stand in its words.json."""
    files = sorted(ROOMS.glob("*/assets/words.json"))
    return {path.parent.parent.name: json.loads(path.read_text(encoding="utf-8"))[language] for path in files}


@lru_cache
def flat_words(language: Language) -> Mapping[str, str]:
    """Every word of that language by its path."""
    return dict(_paths(room_words(language), ""))


def _paths(words: Mapping[str, Any], above: str) -> Iterator[tuple[str, str]]:
    for key, value in words.items():
        if isinstance(value, Mapping):
            yield from _paths(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", str(value)


def language_from_request(cookie: str | None, accepted: str = "", asked: Language | None = None) -> Language:
    """The language of a page: what the page itself told by its cookie, else what was asked for, else the browser's.

    accepted: the header Accept-Language, whose first language counts.
    """
    for language in LANGUAGES:
        if cookie == language:
            return language
    if asked is not None:
        return asked
    return "zh" if accepted.strip().lower().startswith("zh") else "en"
