"""Tables and whole reports for the terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from photofinish.machine.processor import usable_cores
from photofinish.percentiles import min_samples
from photofinish.perf.judge.summary import summaries_from_section
from photofinish.perf.judge.verdict import machine_reasons
from photofinish.perf.record.record import Record, Section
from photofinish.perf.report.parts import ReportPart, headline, text_parts
from photofinish.perf.report.tables import comparison_rows
from photofinish.perf.report.words import word


def comparison_table(section: Section, *, lang: str = "en") -> str:
    """Baseline and the other arms, one row each, with the gains and their intervals; under it what weakens them."""
    return "\n".join([text_table(*comparison_rows(section, lang=lang)), *_doubts(section, lang)])


def terminal_report(record: Record, *, lang: str = "en") -> str:
    """The whole report as text: everything but the pictures."""
    said, sure = headline(record, lang=lang)
    lines = [word("report", lang), f"{said} ({sure})" if sure else said, ""]
    return "\n".join([*lines, *(text for part in text_parts(record, lang=lang) if (text := _part_text(part)))])


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


def _doubts(section: Section, lang: str) -> list[str]:
    """Why some percentiles are dashes, and what disturbed the machine meanwhile."""
    lines = []
    fewest = min((item.requests - item.errors for item in summaries_from_section(section)), default=0)
    if fewest < min_samples(0.99):
        lines.append(word("note_percentiles", lang, p95=min_samples(0.95), p99=min_samples(0.99)))
    for reason in machine_reasons(section, usable_cores()):
        said, advice = (word(f"{kind}_{reason.key}", lang, **reason.values) for kind in ("reason", "advice"))
        lines.append(f"{said}; {advice}." if lang == "en" else f"{said}；{advice}。")
    return lines


def _part_text(part: ReportPart) -> str:
    if part.kind == "heading":
        return f"\n{part.text}\n{'=' * _width(part.text)}"
    if part.kind == "code":
        return f"  {part.text}"
    if part.table is not None:
        header, rows = part.table
        return text_table(header, rows) if part.kind == "table" else "\n".join(f"{key}: {value}" for key, value in rows)
    return part.text


def _width(text: str) -> int:
    """Columns in a terminal: Chinese characters take two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
