"""Reports as text: for the terminal and in Markdown, everything but the pictures."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from photofinish.percentiles import min_samples
from photofinish.perf.judge.claims import merged_reasons
from photofinish.perf.judge.findings import Findings, SectionFindings
from photofinish.perf.report.order import ReportPart, text_parts
from photofinish.perf.report.page.first import first_screen
from photofinish.perf.report.tables import comparison_rows
from photofinish.perf.report.words import ENGLISH, Words, words_for


def terminal_report(findings: Findings, *, lang: str = "en") -> str:
    """The whole report for a terminal."""
    say = words_for(findings.record, lang)
    screen = first_screen(findings, say)
    verdict = f"{screen.pill}{say.colon}{screen.trust}"
    lines = [say("report"), *(line.text for line in screen.lines), screen.compared, screen.machine, verdict, ""]
    return "\n".join([*lines, *(text for part in text_parts(findings, say) if (text := _terminal_text(part)))])


def markdown_report(findings: Findings, *, lang: str = "en") -> str:
    """The whole report in Markdown."""
    say = words_for(findings.record, lang)
    screen = first_screen(findings, say)
    verdict = f"{screen.pill}{say.colon}{screen.trust}"
    lines = [f"# {say('report')}", *(f"**{_plain(line.text)}**" for line in screen.lines)]
    lines += [_plain(text) for text in (screen.compared, screen.machine, verdict) if text]
    lines += [text for part in text_parts(findings, say) if (text := _markdown_text(part))]
    return "\n\n".join(lines) + "\n"


def comparison_table(found: SectionFindings, say: Words = ENGLISH) -> str:
    """Baseline and the other arms, one row each, with the gains and their intervals; under it what speaks against."""
    return "\n".join([text_table(*comparison_rows(found, say)), *_doubts(found, say)])


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns in line; the first is set left, the others right."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(_width(line[column]) for line in lines) for column in range(len(header))]

    def line_text(line: Sequence[str]) -> str:
        cells = [
            cell + " " * (width - _width(cell)) if column == 0 else " " * (width - _width(cell)) + cell
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    rule = "  ".join("-" * width for width in widths)
    return "\n".join([line_text(lines[0]), rule, *(line_text(line) for line in lines[1:])])


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A pipe table; the first column is set left, the others right."""
    rule = ["---", *("---:" for _ in header[1:])]
    return "\n".join("| " + " | ".join(_escape(cell) for cell in line) + " |" for line in (header, rule, *rows))


def _doubts(found: SectionFindings, say: Words) -> list[str]:
    """Why some percentiles are dashes, and why some gains are in brackets."""
    fewest = min((item.requests - item.errors for item in found.summaries), default=0)
    lines = (
        [say("note_percentiles", p95=min_samples(0.95), p99=min_samples(0.99))] if fewest < min_samples(0.99) else []
    )
    reasons = merged_reasons(found.claims)
    return [*lines, *map(say.reason, reasons), *([say("note_void")] if reasons else [])]


def _terminal_text(part: ReportPart) -> str:
    if part.kind == "heading":
        return f"\n{part.text}\n{'=' * _width(part.text)}"
    if part.kind == "code":
        return f"  {part.text}"
    if part.table is not None:
        header, rows = part.table
        said = text_table(header, rows) if part.kind == "table" else "\n".join(f"{key}: {value}" for key, value in rows)
        return f"{part.fold}\n{said}" if part.fold and part.kind == "table" else said
    return part.text


def _markdown_text(part: ReportPart) -> str:
    if part.kind == "heading":
        return f"## {part.text}"
    if part.kind == "code":
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", part.text)), default=0))
        return f"{fence}\n{part.text}\n{fence}"
    if part.table is None:
        return _plain(part.text)
    said = markdown_table(*part.table)
    return f"<details><summary>{part.fold}</summary>\n\n{said}\n\n</details>" if part.fold else said


def _width(text: str) -> int:
    """Columns in a terminal: Chinese characters take two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _plain(text: str) -> str:
    """The text of one line, in which a name or an error of somebody else makes no tag, link or heading."""
    return " ".join(text.split()).replace("<", "&lt;").replace("](", "]\\(")


def _escape(cell: str) -> str:
    return _plain(cell).replace("|", "\\|")
