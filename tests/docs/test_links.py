"""Every link from one page to another leads to a file that is there, and to a heading of it."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

import pytest

from tests.docs.pages import CHECKOUT, anchors, markdown_pages, read, tracked_files, without_code

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_REFERENCE = re.compile(r"^\[[^\]]+\]:\s+(\S+)")


def links_of(text: str) -> list[str]:
    """Targets of the links and pictures outside code that are no address of the Web."""
    found = []
    for _, line in without_code(text):
        bare = re.sub(r"`[^`]*`", "", line)
        found += _LINK.findall(bare) + _REFERENCE.findall(bare)
    return [target for target in found if not re.match(r"[a-z]+:", target)]


def broken_links(page: str) -> list[str]:
    """What is wrong with each link that does not resolve. page: its path below the checkout."""
    wrong = []
    for target in links_of(read(page)):
        path, _, anchor = target.partition("#")
        there = (CHECKOUT / PurePosixPath(page).parent / path) if path else CHECKOUT / page
        if not there.exists():
            wrong.append(f"{target}: no such file")
        elif anchor and anchor not in anchors(there.read_text(encoding="utf-8")):
            wrong.append(f"{target}: no such heading")
    return wrong


@pytest.mark.parametrize("page", sorted({*markdown_pages(), *tracked_files("results/*.md")}))
def test_every_link_leads_somewhere(page: str) -> None:
    assert not broken_links(page)


def test_a_broken_link_is_found(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path_factory.mktemp("checkout")
    monkeypatch.setattr("tests.docs.test_links.CHECKOUT", folder)
    monkeypatch.setattr("tests.docs.pages.CHECKOUT", folder)
    (folder / "other.md").write_text("# The H100, and more\n\n## Twice\n\n## Twice\n\n```\n# no heading\n```\n")
    (folder / "page.md").write_text(
        "[a](other.md#the-h100-and-more) [b](gone.md) [c](other.md#the-h200) [d](#here) ![e](no.png)\n"
        "[f](other.md#twice-1) [g](other.md#no-heading) [h](https://example.org/x) `[i](code.md)`\n# Here\n"
    )
    assert broken_links("page.md") == [
        "gone.md: no such file",
        "other.md#the-h200: no such heading",
        "no.png: no such file",
        "other.md#no-heading: no such heading",
    ]
