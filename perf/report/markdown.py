"""The report in Markdown: everything but the pictures."""

from __future__ import annotations

import re
from collections.abc import Sequence

from photofinish.perf.record.record import Record
from photofinish.perf.report.parts import ReportPart, headline, text_parts
from photofinish.perf.report.words import word


def markdown_report(record: Record, *, lang: str = "en") -> str:
    """The whole report."""
    said, sure = headline(record, lang=lang)
    lines = [f"# {word('report', lang)}"]
    if said:
        lines.append(f"**{said}** ({sure})" if sure else f"**{said}**")
    lines += [text for part in text_parts(record, lang=lang) if (text := _part_text(part))]
    return "\n\n".join(lines) + "\n"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A pipe table; the first column is set left, the others right."""
    rule = ["---", *("---:" for _ in header[1:])]
    return "\n".join("| " + " | ".join(_escape(cell) for cell in line) + " |" for line in (header, rule, *rows))


def _part_text(part: ReportPart) -> str:
    if part.kind == "heading":
        return f"## {part.text}"
    if part.kind == "code":
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", part.text)), default=0))
        return f"{fence}\n{part.text}\n{fence}"
    return markdown_table(*part.table) if part.table is not None else _plain(part.text)


def _plain(text: str) -> str:
    """The text of one line, in which a name or an error of somebody else makes no tag, link or heading."""
    return " ".join(text.split()).replace("<", "&lt;").replace("](", "]\\(")


def _escape(cell: str) -> str:
    return _plain(cell).replace("|", "\\|")
