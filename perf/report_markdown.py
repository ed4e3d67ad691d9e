"""The same tables in Markdown."""

from __future__ import annotations

from collections.abc import Sequence


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A pipe table; the first column is set left, the others right."""
    rule = ["---", *("---:" for _ in header[1:])]
    return "\n".join("| " + " | ".join(_escape(cell) for cell in line) + " |" for line in (header, rule, *rows))


def _escape(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")
