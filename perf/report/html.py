"""The report as one page: no script, nothing loaded from elsewhere, readable on a phone, printable."""

from __future__ import annotations

from html import escape

from photofinish.perf.judge.findings import Findings
from photofinish.perf.report.order import ReportPart, measured_text, report_parts
from photofinish.perf.report.page.first import first_screen
from photofinish.perf.report.page.screen import cell_html, screen_html
from photofinish.perf.report.page.style import REPORT
from photofinish.perf.report.svg import NARROW, WIDE
from photofinish.perf.report.tables import Table
from photofinish.perf.report.words import words_for


def html_report(findings: Findings, *, lang: str = "en") -> str:
    """The whole page: the first screen, then the parts of the report."""
    say = words_for(findings.record, lang)
    screen = first_screen(findings, say)
    parts = report_parts(findings, say)
    body = "\n".join(_part_html(part, index) for index, part in enumerate(parts))
    title = next((line.text for line in screen.lines), measured_text(findings, say))
    return f"""<!doctype html>
<html lang="{"zh-CN" if lang == "zh" else "en"}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{REPORT}</style>
</head>
<body>
<main>
<header>
<p class="eyebrow">{escape(say("report"))} · {escape(findings.record.created_utc[:10])}</p>
{screen_html(screen, say, title=title)}
</header>
{body}
</main>
</body>
</html>
"""


def _part_html(part: ReportPart, index: int) -> str:
    if part.kind == "heading":
        style = ' class="chapter"' if part.style == "chapter" else ""
        return f"<h2{style}>{escape(part.text)}</h2>"
    if part.kind == "code":
        return f"<pre>{escape(part.text)}</pre>"
    if part.kind == "chart":
        return _chart_html(part)
    if part.table is not None:
        drawn = _facts_html(part.table) if part.kind == "details" else _table_html(part.table, part.style)
        return _folded_html(drawn, part.fold, index) if part.fold else drawn
    return f"<p>{escape(part.text)}</p>"


def _chart_html(part: ReportPart) -> str:
    """The picture twice, as wide as a page and as a phone; the style shows one of them."""
    if part.draw is None or not (wide := part.draw(WIDE)):
        return ""
    return wide + part.draw(NARROW).replace("<svg ", '<svg class="phone" ', 1)


def _folded_html(drawn: str, title: str, index: int) -> str:
    """Behind a box to tick, not in <details>: paper shows what is folded away in every browser."""
    name = f"fold{index}"
    box = f'<input class="fold" type="checkbox" id="{name}"><label for="{name}">{escape(title)}</label>'
    return f'{box}<div class="folded">{drawn}</div>'


def _table_html(table: Table, css_class: str) -> str:
    header, rows = table
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "\n".join("<tr>" + "".join(f"<td>{cell_html(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return (
        f'<div class="scroll"><table class="{css_class}">\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n'
        "</tbody>\n</table></div>"
    )


def _facts_html(table: Table) -> str:
    rows = "\n".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in table[1])
    return f'<table class="facts"><tbody>\n{rows}\n</tbody></table>'
