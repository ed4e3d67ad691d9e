from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest

from photofinish.client.cameras.decode.sampling import Sampling
from photofinish.client.cameras.values.access_unit import ClockKind
from photofinish.client.cameras.values.outcome import CameraDropCause
from photofinish.client.cameras.values.status import DegradeStep, IngestPhase, IngestProblem, Quality
from photofinish.client.ui.cameras.page import ASSETS

WORDS: dict[str, Any] = json.loads((ASSETS / "words.json").read_text(encoding="utf-8"))
SCRIPT = (ASSETS / "cameras.js").read_text(encoding="utf-8")


def paths(words: dict[str, Any], above: str = "") -> Iterator[str]:
    for key, value in words.items():
        yield from paths(value, f"{above}{key}.") if isinstance(value, dict) else (f"{above}{key}",)


def test_both_languages_have_the_same_words() -> None:
    assert set(paths(WORDS["en"])) == set(paths(WORDS["zh"]))
    for path in paths(WORDS["en"]):
        english, chinese = (_at(WORDS[language], path) for language in ("en", "zh"))
        assert set(re.findall(r"\{\w+\}", english)) == set(re.findall(r"\{\w+\}", chinese)), path


def _at(words: dict[str, Any], path: str) -> str:
    value: Any = words
    for key in path.split("."):
        value = value[key]
    return str(value)


@pytest.mark.parametrize(
    ("group", "values"),
    [
        ("cause", [cause.value for cause in CameraDropCause]),
        ("phase", [phase.value for phase in IngestPhase]),
        ("problem", [problem.value for problem in IngestProblem]),
        ("quality", get_args(Quality)),
        ("step", get_args(DegradeStep)),
        ("sampling", get_args(Sampling)),
        ("clock", get_args(ClockKind)),
    ],
)
def test_every_value_has_a_word(group: str, values: list[str]) -> None:
    for language in WORDS:
        assert set(WORDS[language][group]) == set(values)


def test_the_script_uses_words_that_exist() -> None:
    used = set(re.findall(r'word\("(\w+)"', SCRIPT)) | set(
        re.findall(r'data-word="(\w+)"', (ASSETS / "cameras.html").read_text(encoding="utf-8"))
    )
    assert used <= set(WORDS["en"])
    assert set(WORDS["en"]) <= used, "words that nobody reads"
    facts = set(re.findall(r'word\("fact", "(\w+)"\)', SCRIPT))
    assert facts == set(WORDS["en"]["fact"])
    causes = re.search(r"const CAUSES = (\[.*?\]);", SCRIPT)
    assert causes is not None
    assert json.loads(causes[1]) == [cause.value for cause in CameraDropCause]
