"""The pages that people read, and how to read them: prose, tables and code apart."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def tracked_files(*patterns: str) -> list[str]:
    """Files of the checkout below it, links to rooms left out. patterns: as `git ls-files` takes them."""
    git = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", *patterns],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )
    return sorted({name for name in git.stdout.split("\0") if name and (CHECKOUT / name).is_file()})


def markdown_pages() -> list[str]:
    """Every Markdown page that a person wrote: not the reports under results/, not the tests' golden files."""
    generated = re.compile(r"results/(?!README)|tests/")
    return [name for name in tracked_files("*.md") if not generated.match(name)]


def read(page: str) -> str:
    return (CHECKOUT / page).read_text(encoding="utf-8")


def without_code(text: str) -> list[tuple[int, str]]:
    """The lines outside fences, and outside the comments that name records, with their numbers from 1."""
    lines, fenced, hidden = [], False, False
    for number, line in enumerate(text.splitlines(), 1):
        hidden = hidden or line == "<!-- figures"
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced and not hidden:
            lines.append((number, line))
        hidden = hidden and line != "-->"
    return lines


def without_comments(text: str) -> str:
    """What a reader of the page sees: no comments that name the records of figures."""
    return re.sub(r"^<!-- figures\n.*?^-->\n", "", text, flags=re.DOTALL | re.MULTILINE)


def is_table_row(line: str) -> bool:
    return line.lstrip().startswith("|")


def headings(text: str) -> list[tuple[int, int, str]]:
    """Number of the line, level and words of every heading."""
    found = []
    for number, line in without_code(text):
        if match := re.match(r"(#{1,6}) +(.+?)\s*$", line):
            found.append((number, len(match[1]), match[2]))
    return found


def anchors(text: str) -> set[str]:
    """What a link to a heading of the page ends in, as GitHub and GitLab make it."""
    seen: dict[str, int] = {}
    found = set()
    for _, _, words in headings(text):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", words)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        count = seen.get(slug, 0)
        seen[slug] = count + 1
        found.add(f"{slug}-{count}" if count else slug)
    return found
