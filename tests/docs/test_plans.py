"""A plan that stands in a page is what its command prints today."""

from __future__ import annotations

from tests.docs.pages import markdown_pages, read
from tests.docs.plans import BLOCK, redrawn


def test_plans_in_the_pages_are_what_their_commands_print() -> None:
    pages = {page: read(page) for page in markdown_pages()}
    assert len(BLOCK.findall(pages["docs/cameras-a10.md"])) >= 3
    stale = [page for page, text in pages.items() if redrawn(text) != text]
    assert not stale, "`python -m tests.docs.plans PAGE` draws them again; read the sentences around them"
