"""The pages can be read: a sentence a line, tables that a person takes in, pages and entries that end."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise

import pytest

from tests.docs.pages import headings, is_table_row, markdown_pages, read, without_code, without_comments

PAGES = markdown_pages()
MAX_LINE = 160
MAX_COLUMNS = 6
MAX_LINES = {"README.md": 120, "CONTRIBUTING.md": 80}
MAX_ENTRY = 11
"""Lines of one entry of docs/decisions.md, its heading counted, empty lines not."""
_NO_END = re.compile(r"(?:\b(?:e\.g|i\.e|vs|cf)|^\s*\d+|^)\.$")
_SENTENCE_END = re.compile(r"[.?!](?:\*\*|\*|\"|\))*\s+(?=[A-ZÀ-Þ\"`*\[(])")


def long_lines(text: str) -> list[str]:
    return [
        f"line {number} has {len(line)} characters"
        for number, line in without_code(text)
        if len(line) > MAX_LINE and not is_table_row(line)
    ]


def crowded_lines(text: str) -> list[str]:
    """Lines with the end of a sentence before another one begins. Words in code are no sentences."""
    found = []
    for number, line in without_code(text):
        if is_table_row(line) or line.startswith("#"):
            continue
        plain = re.sub(r"`[^`]*`", "`code`", line)
        if any(not _NO_END.search(plain[: match.start() + 1]) for match in _SENTENCE_END.finditer(plain)):
            found.append(f"line {number}: {line.strip()[:80]}")
    return found


def wide_tables(text: str) -> list[str]:
    """Rows with more cells than a person takes in. A bar in code is a bar, one behind a backslash too."""
    found = []
    for number, line in without_code(text):
        if is_table_row(line):
            cells = re.sub(r"`[^`]*`|\\\|", "", line.strip()).strip("|").split("|")
            if len(cells) > MAX_COLUMNS:
                found.append(f"line {number} has {len(cells)} columns")
    return found


def long_entries(text: str) -> list[str]:
    """Entries of docs/decisions.md with too many lines, by their heading."""
    lines = text.splitlines()
    starts = [number for number, _, _ in headings(text)] + [len(lines) + 1]
    found = []
    for start, end in pairwise(starts):
        count = sum(bool(line.strip()) for line in lines[start - 1 : end - 1])
        if count > MAX_ENTRY:
            found.append(f"{lines[start - 1]}: {count} lines")
    return found


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("check", [long_lines, crowded_lines, wide_tables])
def test_page_can_be_read(page: str, check: Callable[[str], list[str]]) -> None:
    assert not check(read(page))


@pytest.mark.parametrize("page", sorted(MAX_LINES))
def test_page_is_short(page: str) -> None:
    assert len(without_comments(read(page)).splitlines()) <= MAX_LINES[page]


def test_every_decision_is_short() -> None:
    assert not long_entries(without_comments(read("docs/decisions.md")))


def test_the_first_screen_of_the_readme_is_sentence_picture_commands_and_what_you_get() -> None:
    screen = read("README.md").splitlines()[:30]
    order = ["# Photofinish", "**Serve one vision model", "![", "make demo", "## What you get"]
    found = [next(number for number, line in enumerate(screen) if line.startswith(start)) for start in order]
    assert found == sorted(found)


def test_the_pages_that_are_checked_are_those_that_people_read() -> None:
    assert {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/decisions.md", "results/README.md"} <= set(PAGES)
    assert {"docs/architecture.md", "experiments/README.md", "export/weights/README.md"} <= set(PAGES)


def test_what_cannot_be_read_is_found() -> None:
    row = "|" + " cell |" * 7
    text = f"{'x' * 161}\n```\n{'y' * 200}\n{row}\n```\n| {'z' * 200} |\n{row}\n"
    assert long_lines(text) == ["line 1 has 161 characters"]
    assert wide_tables(text) == ["line 7 has 7 columns"]
    assert wide_tables("| `a|b|c|d|e|f|g` | b\\|c |") == []


@pytest.mark.parametrize(
    ("line", "is_crowded"),
    [
        ("One sentence. Another one.", True),
        ("**Bold.** Another one.", True),
        ("- An item. `code` begins the next.", True),
        ("1. A numbered item", False),
        ("One, e.g. This, that.", False),
        ("It takes 1.5 ms (P50). ", False),
        ("`a. B` is code", False),
    ],
)
def test_two_sentences_on_a_line_are_found(line: str, is_crowded: bool) -> None:
    assert bool(crowded_lines(line)) is is_crowded


def test_an_entry_that_does_not_end_is_found() -> None:
    entry = "\n".join(f"Line {number}." for number in range(11))
    assert long_entries(f"# Decisions\n\n## Short\nOne.\n\n## Long\n{entry}\n\n## Last\nOne.\n") == [
        "## Long: 12 lines"
    ]
