"""The report as one page: no script, nothing loaded from elsewhere, readable on a phone, printable."""

from __future__ import annotations

from html import escape

from photofinish.perf.formatting import RangedText, VoidText
from photofinish.perf.judge.findings import Findings
from photofinish.perf.record.record import Record
from photofinish.perf.report.order import ReportPart, headline, report_parts
from photofinish.perf.report.tables import Table
from photofinish.perf.report.words import Words

_STYLE = """
:root { --ink: #1f2428; --faint: #5c6670; --rule: #e3e6e9; --accent: #0f766e; --bad: #b42318; --paper: #ffffff; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); -webkit-text-size-adjust: 100%;
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Noto Sans CJK SC", "PingFang SC",
  "Microsoft YaHei", sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 32px 20px 64px; }
header p { margin: 0; color: var(--faint); }
h1 { font-size: 30px; line-height: 1.2; margin: 6px 0 4px; font-weight: 650; letter-spacing: -0.01em; }
h2 { font-size: 18px; margin: 44px 0 10px; padding-top: 14px; border-top: 1px solid var(--rule); font-weight: 600; }
p { margin: 8px 0; max-width: 720px; }
.eyebrow { font-size: 13px; }
.verdict { display: inline-block; margin: 12px 8px 0 0; padding: 2px 12px; border-radius: 999px; font-weight: 600;
  font-size: 13px; border: 1px solid currentColor; color: var(--accent); }
.verdict.bad { color: var(--bad); }
.scroll { overflow-x: auto; margin: 14px 0; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 14px; }
th, td { text-align: right; padding: 6px 0 6px 18px; white-space: nowrap; border-bottom: 1px solid var(--rule); }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
th { font-weight: 600; color: var(--faint); font-size: 13px; vertical-align: bottom; }
tr:last-child td { border-bottom: 0; }
.headline td:last-child { font-weight: 600; }
.headline tr:first-child td { color: var(--faint); font-size: 12px; font-weight: 400; white-space: normal;
  overflow-wrap: anywhere; }
.headline { max-width: 720px; }
.wide { font-size: 13px; }
.wide th, .wide td { padding-left: 11px; }
.wide th:first-child, .wide td:first-child { padding-left: 0; }
.wide th { white-space: normal; word-break: keep-all; }
.void { font-weight: 400; color: #8a949e; }
.ci { font-weight: 400; color: var(--faint); white-space: nowrap; }
.short { width: auto; } .short td:last-child, .short th:last-child { text-align: left; }
.prose th:nth-child(2), .prose td:nth-child(2) { white-space: normal; text-align: left; min-width: 170px; }
.facts td { white-space: normal; overflow-wrap: anywhere; text-align: left; vertical-align: top; font-size: 13px; }
.facts td:first-child { color: var(--faint); width: 36%; padding-right: 12px; }
.facts td:last-child { padding-left: 0; }
svg { display: block; width: 100%; max-width: 540px; height: auto; margin: 14px 0; }
pre { background: #f6f7f8; padding: 12px 14px; border-radius: 6px; white-space: pre-wrap; overflow-wrap: anywhere;
  font: 13px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
@media (max-width: 520px) {
  main { padding: 20px 16px 48px; } h1 { font-size: 24px; } table { font-size: 13px; }
  th, td { padding-left: 12px; }
  .headline th, .headline td { white-space: normal; padding-left: 8px; }
  .wide td:first-child { white-space: normal; overflow-wrap: anywhere; min-width: 108px; }
  .headline th:first-child, .headline td:first-child { padding-left: 0; }
}
@media print {
  main { max-width: none; padding: 0; } body { font-size: 11pt; } h2 { break-after: avoid; }
  svg, table, pre { break-inside: avoid; } .scroll { overflow: visible; } table { font-size: 8.5pt; }
  th, td { padding-left: 8px; }
  .wide { font-size: 7pt; }
  .wide th { font-size: 7pt; } .wide th, .wide td { padding-left: 6px; }
  .wide td:first-child, .wide td:nth-child(2) { white-space: normal; overflow-wrap: anywhere; }
  .wide td:first-child { min-width: 80px; } .prose td:nth-child(2) { min-width: 110px; }
  .wide .ci { white-space: normal; }
}
"""


def html_report(findings: Findings, *, lang: str = "en") -> str:
    """The whole page."""
    say, record, verdict = Words(lang), findings.record, findings.verdict
    said, sure = headline(findings, say)
    pills = [(say(verdict.standing), verdict.standing == "INVALID")]
    if verdict.standing == "PARTLY":
        pills += [
            (say("in_part", part=f"{say.section(part.section)} {say.claims([claim])}", verdict=say(claim.verdict)),
             claim.verdict == "INVALID")
            for part in verdict.parts
            for claim in part.claims
            if claim.reasons or claim is findings.headline
        ]  # fmt: skip
    if verdict.outcome:
        pills.append((say(verdict.outcome), verdict.outcome != "PASS"))
    body = "\n".join(_part_html(part, index) for index, part in enumerate(report_parts(findings, say)))
    badges = "".join(f'<span class="verdict{" bad" if bad else ""}">{escape(text)}</span>' for text, bad in pills)
    return f"""<!doctype html>
<html lang="{"zh-CN" if lang == "zh" else "en"}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(say("report"))}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<header>
<p class="eyebrow">{escape(say("report"))} · {escape(_machine(record))} · {escape(record.created_utc[:10])}</p>
<h1>{escape(said or say("title"))}</h1>
<p>{escape(sure)}</p>
{badges}
</header>
{body}
</main>
</body>
</html>
"""


def _part_html(part: ReportPart, index: int) -> str:
    if part.kind == "heading":
        return f"<h2>{escape(part.text)}</h2>"
    if part.kind == "code":
        return f"<pre>{escape(part.text)}</pre>"
    if part.kind == "chart":
        return part.draw() if part.draw else ""
    if part.table is not None:
        if part.kind == "details":
            return _facts_html(part.table)
        return _table_html(part.table, "headline" if index == 0 else part.style)
    return f"<p>{escape(part.text)}</p>"


def _table_html(table: Table, css_class: str) -> str:
    header, rows = table
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "\n".join("<tr>" + "".join(f"<td>{_cell_html(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return (
        f'<div class="scroll"><table class="{css_class}">\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n'
        "</tbody>\n</table></div>"
    )


def _cell_html(cell: str) -> str:
    """A cell; the interval behind a figure is set fainter and kept together, a void gain is grey."""
    if isinstance(cell, VoidText):
        return f'<span class="void">{escape(cell)}</span>'
    if isinstance(cell, RangedText):
        return f'{escape(cell.figure)} <span class="ci">{escape(cell.span)}</span>'
    return escape(cell)


def _facts_html(table: Table) -> str:
    rows = "\n".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in table[1])
    return f'<table class="facts"><tbody>\n{rows}\n</tbody></table>'


def _machine(record: Record) -> str:
    gpus = record.environment.get("gpus") or []
    return gpus[0]["name"] if gpus else str(record.environment.get("cpu", "unknown machine"))
