"""README.zh.md says what README.md says: the same headings, commands, links and figures, in the same order."""

from __future__ import annotations

import re

import pytest

from tests.docs.pages import headings, is_table_row, read, without_comments

ENGLISH, CHINESE = (without_comments(read(page)) for page in ("README.md", "README.zh.md"))
_FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
_OTHER_LANGUAGE = re.compile(r"^\[(?:English|中文)\]\(README[.\w]*\.md\)$", re.MULTILINE)
_NUMBER = re.compile(r"(?<![\w./:-])\d+(?:,\d{3})*(?:\.\d+)?(?![\w/-]|\.\d)")


def sections(text: str) -> list[str]:
    """What stands before the first heading of the second level, and what follows each."""
    return re.split(r"^## .*$", _OTHER_LANGUAGE.sub("", text), flags=re.MULTILINE)


def commands(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", _FENCE.sub("", text)) + re.findall(r"```bash\n.*?```", text, re.DOTALL)


def links(text: str) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", text)


def figures(text: str) -> list[str]:
    """Numbers outside code and links; the number of a heading's words and of a list do not occur."""
    bare = re.sub(r"`[^`\n]*`|\]\([^)\n]*\)|https?://\S+", " ", _FENCE.sub(" ", text))
    return _NUMBER.findall(bare.replace("×", " × "))


def drawn(text: str) -> list[str]:
    """The drawing's nodes and arrows, without what is written in them."""
    found = re.search(r"```mermaid\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return [re.sub(r'"[^"]*"', '""', line).strip() for line in found[1].splitlines()]


@pytest.mark.parametrize("what", [commands, links, figures])
def test_each_section_has_the_same(what: object) -> None:
    assert callable(what)
    pairs = list(zip(sections(ENGLISH), sections(CHINESE), strict=True))
    assert len(pairs) > 3
    for number, (english, chinese) in enumerate(pairs):
        assert sorted(what(chinese)) == sorted(what(english)), f"section {number}, counted from 0"


def test_the_headings_and_tables_are_the_same() -> None:
    assert [level for _, level, _ in headings(CHINESE)] == [level for _, level, _ in headings(ENGLISH)]
    rows = [[line.count("|") for line in text.splitlines() if is_table_row(line)] for text in (ENGLISH, CHINESE)]
    assert rows[0] == rows[1]


def test_the_drawing_is_the_same() -> None:
    assert drawn(CHINESE) == drawn(ENGLISH)


def test_each_leads_to_the_other() -> None:
    assert "](README.zh.md)" in read("README.md")
    assert "](README.md)" in read("README.zh.md")


def test_it_is_chinese() -> None:
    """Every paragraph and every row of a table that has words at all."""
    plain = [re.sub(r"`[^`\n]*`|\[[^\]]*\]\([^)]*\)", "", line) for line in _FENCE.sub("", CHINESE).splitlines()]
    foreign = [line for line in plain if re.search(r"[A-Za-z]{3,} [A-Za-z]{3,} [A-Za-z]{3,}", line)]
    assert foreign == []
