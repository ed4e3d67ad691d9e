"""One page for a stage: the claim, what was compared on what, bars, tiles, and what each step bought."""

from __future__ import annotations

from html import escape
from typing import Literal

from photofinish.errors import ConfigError, VerdictError
from photofinish.perf.judge.findings import Findings
from photofinish.perf.report.charts import ladder_chart
from photofinish.perf.report.page.first import first_screen
from photofinish.perf.report.page.screen import screen_html
from photofinish.perf.report.page.style import COLOURS, FONTS
from photofinish.perf.report.words import words_for

Paper = Literal["a3", "a4"]
WIDTH_MM = {"a3": 297, "a4": 210}
_STYLE = """
@page { size: PAPER portrait; margin: 0; }
* { box-sizing: border-box; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
html { font-size: calc(WIDTHmm / 74); }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1.25rem/1.35 FONTS; }
main { width: WIDTHmm; height: calc(WIDTHmm * 1.412); padding: 4.6rem 5rem 3rem; display: flex; overflow: hidden;
  flex-direction: column; justify-content: space-between; margin: 0 auto; }
p { margin: 0; } .eyebrow { color: var(--faint); font-size: 1.3rem; }
.claim { font-size: 5.1rem; line-height: 1.08; margin: 1rem 0; font-weight: 700; letter-spacing: -0.02em; }
.claim .gain { color: var(--accent); white-space: nowrap; } .claim .ci { font-size: 1.7rem; font-weight: 400;
  color: var(--faint); letter-spacing: 0; white-space: nowrap; }
.claim.two { font-size: 3.5rem; margin: 0.7rem 0; }
.claim .against { display: block; font-size: 1.5rem; font-weight: 500; color: var(--faint); letter-spacing: 0; }
.trust { display: flex; gap: 1.2rem; align-items: center; margin: 1.2rem 0; } .trust p { flex: 1; }
.pill { padding: 0.3rem 1.6rem; border-radius: 9rem; font-weight: 700; font-size: 1.6rem; color: #fff;
  white-space: nowrap; background: var(--accent); }
.pill.partly { background: var(--part); } .pill.bad { background: var(--bad); }
.compared { color: var(--faint); font-size: 1.2rem; margin: 0.2rem 0; }
.bars { margin: 2rem 0 0.4rem; } .bars > p { color: var(--faint); margin-bottom: 0.8rem; }
.bar { margin-bottom: 1.3rem; } .bar .who b { font-weight: 650; font-size: 1.5rem; }
.bar .who span { color: var(--faint); } .track { display: flex; align-items: center; gap: 0.9rem; margin-top: 0.3rem; }
.track i { display: block; height: 3rem; border-radius: 0.3rem; background: var(--grey); min-width: 0.3rem; }
.track i.ours { background: var(--accent); } .track b { font-size: 1.9rem; white-space: nowrap; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(14rem, 1fr)); gap: 1rem; margin: 1.4rem 0; }
.tile { border: 0.1rem solid var(--rule); border-radius: 0.7rem; padding: 0.9rem 1.1rem; }
.tile p { color: var(--faint); font-size: 1.05rem; }
.tile .now { font-size: 1.6rem; font-weight: 650; color: var(--ink); line-height: 1.25; }
.tile .change { color: var(--ink); font-size: 1.15rem; } .ci { color: var(--faint); }
h2 { font-size: 1.6rem; margin: 0.8rem 0 0; font-weight: 650; }
.steps { flex: 0 1 auto; min-height: 0; } svg { display: block; width: 100%; height: auto; max-height: 32rem; }
footer { color: var(--faint); font-size: 0.95rem; overflow-wrap: anywhere; }
"""


def poster_html(findings: Findings, *, lang: str = "en", paper: Paper = "a3") -> str:
    """The page, as large as the paper. Raises ConfigError without a comparison, VerdictError for a gain not valid."""
    say = words_for(findings.record, lang)
    screen = first_screen(findings, say)
    if not screen.lines:
        raise ConfigError(
            "a poster shows a comparison, and this record holds none; give one of `photofinish perf comparison` or "
            "`photofinish perf standard`"
        )
    if screen.is_void:
        raise VerdictError(f"no poster of a gain that is not valid. {screen.trust}")
    steps = next(
        (found for found in findings.sections if found.section.kind == "ladder" and found.section.blocks), None
    )
    ladder = f'<div class="steps"><h2>{escape(say("h_ladder"))}</h2>{ladder_chart(steps, say)}</div>' if steps else ""
    style = _STYLE.replace("PAPER", paper.upper()).replace("WIDTH", str(WIDTH_MM[paper])).replace("FONTS", FONTS)
    return f"""<!doctype html>
<html lang="{"zh-CN" if lang == "zh" else "en"}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(screen.lines[0].text)}</title>
<style>{COLOURS}{style}</style>
</head>
<body>
<main>
<div>
<p class="eyebrow">Photofinish · {escape(findings.record.created_utc[:10])}</p>
{screen_html(screen, say, title="")}
</div>
{ladder}
<footer>{escape(say("poster_check"))} {escape(findings.record.command)}</footer>
</main>
</body>
</html>
"""
