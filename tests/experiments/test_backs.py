"""Every experiment says which sentence of which page it backs, and the page says it."""

from __future__ import annotations

import ast
import re

import pytest

from tests.docs.pages import read, tracked_files

SCRIPTS = [name for name in tracked_files("experiments/*.py", "experiments/*.sh") if not name.endswith("__init__.py")]
_BACKS = re.compile(r'^(?:# )?Backs: (docs/[\w-]+\.md), "(.+)"$', flags=re.MULTILINE)


def backed_sentences(script: str, text: str) -> list[tuple[str, str]]:
    """Page and words of each line that says what the script backs: in its docstring, or its first comment."""
    if script.endswith(".py"):
        return _BACKS.findall(ast.get_docstring(ast.parse(text)) or "")
    return _BACKS.findall(text.partition("\nset -")[0])


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_page_has_the_sentence_that_the_script_backs(script: str) -> None:
    backed = backed_sentences(script, read(script))
    assert backed, f'{script} has no line like: Backs: docs/benchmarking-cpu.md, "words of that page"'
    for page, words in backed:
        assert words in read(page), f"{script} backs {words!r}, which {page} does not say"


def test_the_table_of_experiments_lists_every_script() -> None:
    named = set(re.findall(r"`([a-z_0-9/]+\.(?:py|sh))`", read("experiments/README.md")))
    assert named == {script.partition("/")[2] for script in SCRIPTS}


def test_a_script_without_the_line_is_found() -> None:
    assert backed_sentences("a.py", '"""Does it?"""\n\n# Backs: docs/a.md, "not in the docstring"\n') == []
    assert backed_sentences("a.sh", '#!/bin/sh\n# Backs: docs/a.md, "It does."\nset -e\n') == [
        ("docs/a.md", "It does.")
    ]
