"""How a report looks on a screen, on a phone and on A4 paper."""

from __future__ import annotations

FONTS = (
    'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Noto Sans CJK SC", "Noto Sans SC", "PingFang SC", '
    '"Microsoft YaHei", "WenQuanYi Zen Hei", sans-serif'
)
COLOURS = """
:root { --ink: #1f2428; --faint: #5c6670; --rule: #e3e6e9; --accent: #0f766e; --bad: #b42318; --part: #92600a;
  --grey: #8b919a; --void: #8a949e; --paper: #ffffff; }
"""
SCREEN = """
.claim { font-size: 38px; line-height: 1.18; margin: 10px 0 6px; font-weight: 650; letter-spacing: -0.015em;
  max-width: none; }
.claim.two { font-size: 27px; margin: 6px 0; }
.claim .gain { color: var(--accent); white-space: nowrap; } .claim .ci { font-size: 0.52em; letter-spacing: 0; }
.claim .against { display: block; font-size: 0.52em; font-weight: 500; color: var(--faint); letter-spacing: 0; }
.void .gain, .claim.void { color: var(--void); }
.compared { color: var(--faint); max-width: none; margin: 2px 0; }
.trust { display: flex; flex-wrap: wrap; gap: 4px 12px; align-items: baseline; margin: 12px 0 4px; }
.trust p { margin: 0; flex: 1 1 260px; max-width: none; }
.pill { padding: 2px 14px; border-radius: 999px; font-weight: 650; font-size: 14px; color: #fff; white-space: nowrap;
  background: var(--accent); print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.pill.partly { background: var(--part); } .pill.bad { background: var(--bad); }
.bars { margin: 18px 0 6px; } .bars > p { margin: 0 0 6px; color: var(--faint); font-size: 13px; }
.bar { margin: 0 0 10px; } .bar .who { font-size: 14px; } .bar .who b { font-weight: 600; }
.bar .who span { color: var(--faint); font-size: 13px; }
.track { display: flex; align-items: center; gap: 8px; margin-top: 2px; }
.track i { display: block; height: 26px; border-radius: 3px; background: var(--grey); min-width: 2px;
  print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.track i.ours { background: var(--accent); } .void .track i { background: #c9ced3; }
.track b { font-variant-numeric: tabular-nums; white-space: nowrap; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 16px 0 8px; }
.tile { border: 1px solid var(--rule); border-radius: 8px; padding: 10px 14px; font-variant-numeric: tabular-nums; }
.tile p { margin: 0; font-size: 13px; color: var(--faint); }
.tile .now { font-size: 20px; font-weight: 600; color: var(--ink); }
.tile .change { color: var(--ink); } .tile .ci { white-space: normal; }
.void .tile .now, .void .tile .change { color: var(--void); }
@media (max-width: 560px) {
  .claim { font-size: 28px; } .claim.two { font-size: 23px; }
  .tiles { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 8px; }
  .tile { padding: 8px 10px; } .tile .now { font-size: 15.5px; } .track i { height: 22px; } .bars { margin-top: 12px; }
  .compared { font-size: 13px; } .trust p { font-size: 14px; }
}
"""
REPORT = (
    COLOURS
    + """
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); -webkit-text-size-adjust: 100%;
  font: 15px/1.5 """
    + FONTS
    + """; }
main { max-width: 960px; margin: 0 auto; padding: 24px 20px 64px; }
header > p { margin: 0; }
.eyebrow { font-size: 13px; color: var(--faint); max-width: none; }
h2 { font-size: 18px; margin: 40px 0 10px; padding-top: 14px; border-top: 1px solid var(--rule); font-weight: 600; }
h2.chapter { font-size: 24px; border-top-width: 3px; } h2.chapter + h2 { margin-top: 12px; border-top: 0; }
p { margin: 8px 0; max-width: 760px; }
.scroll { overflow-x: auto; margin: 14px 0; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 14px; }
th, td { text-align: right; padding: 6px 0 6px 18px; white-space: nowrap; border-bottom: 1px solid var(--rule); }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
th { font-weight: 600; color: var(--faint); font-size: 13px; vertical-align: bottom; }
tr:last-child td { border-bottom: 0; }
.headline td:nth-child(4) { font-weight: 600; }
.headline tr:first-child td { color: var(--faint); font-size: 12px; font-weight: 400; white-space: normal;
  overflow-wrap: anywhere; }
.wide { font-size: 13px; }
.wide th, .wide td { padding-left: 11px; }
.wide th:first-child, .wide td:first-child { padding-left: 0; }
.wide th { white-space: normal; word-break: keep-all; }
td.void, span.void { font-weight: 400; color: var(--void); }
.ci { font-weight: 400; color: var(--faint); white-space: nowrap; }
.short { width: auto; } .short td:last-child, .short th:last-child { text-align: left; }
.prose .ci { white-space: normal; }
.prose th:nth-child(2), .prose td:nth-child(2) { white-space: normal; text-align: left; min-width: 170px; }
.facts td { white-space: normal; overflow-wrap: anywhere; text-align: left; vertical-align: top; font-size: 13px; }
.facts td:first-child { color: var(--faint); width: 36%; padding-right: 12px; }
.facts td:last-child { padding-left: 0; }
svg { display: block; width: 100%; height: auto; margin: 14px 0; }
svg.phone { display: none; }
.fold { position: absolute; opacity: 0; }
.fold + label { display: inline-block; margin: 10px 0; padding: 4px 12px; border: 1px solid var(--rule);
  border-radius: 6px; font-size: 14px; cursor: pointer; }
.fold + label::before { content: "\\25B8\\00A0"; } .fold:checked + label::before { content: "\\25BE\\00A0"; }
.fold:focus-visible + label { outline: 2px solid var(--accent); }
@media screen { .fold:not(:checked) + label + .folded { display: none; } }
pre { background: #f6f7f8; padding: 12px 14px; border-radius: 6px; white-space: pre-wrap; overflow-wrap: anywhere;
  font: 13px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
"""
    + SCREEN
    + """
@media (max-width: 560px) {
  main { padding: 14px 16px 48px; } table { font-size: 13px; } svg { display: none; } svg.phone { display: block; }
  th, td { padding-left: 12px; }
  .headline th, .headline td { white-space: normal; padding-left: 8px; }
  .wide td:first-child { white-space: normal; overflow-wrap: anywhere; min-width: 108px; }
  .headline th:first-child, .headline td:first-child { padding-left: 0; }
}
@page { size: A4; margin: 14mm 14mm 17mm;
  @bottom-left { content: "Photofinish"; font: 8pt sans-serif; color: #5c6670; }
  @bottom-right { content: counter(page) " / " counter(pages); font: 8pt sans-serif; color: #5c6670; } }
@media print {
  main { max-width: none; padding: 0; } body { font-size: 10pt; }
  .claim { font-size: 25pt; margin-top: 4pt; } .claim.two { font-size: 18pt; }
  .tiles { grid-template-columns: repeat(4, minmax(0, 1fr)); gap: 6pt; margin: 10pt 0 4pt; }
  .tile { padding: 5pt 7pt; min-width: 0; }
  h2 { break-after: avoid; margin: 14pt 0 6pt; padding-top: 8pt; font-size: 13pt; }
  h2.chapter { break-before: page; margin-top: 0; }
  svg, pre, tr, .bar, .tile, .short { break-inside: avoid; } thead { display: table-header-group; }
  svg { display: block; } svg.phone { display: none; }
  .scroll { overflow: visible; } table { font-size: 8.5pt; } p { max-width: none; orphans: 2; widows: 2; }
  th, td { padding: 3px 0 3px 8px; }
  .wide { font-size: 7.5pt; }
  .wide th { font-size: 7pt; } .wide th, .wide td { padding-left: 6px; }
  .wide td:first-child, .wide td:nth-child(2) { white-space: normal; overflow-wrap: anywhere; }
  .wide td:first-child { min-width: 96px; } .wide td:nth-child(2) { min-width: 74px; }
  .prose td:nth-child(2) { min-width: 110px; }
  .wide .ci { white-space: normal; } .headline tr:first-child td, .facts td { font-size: 7.5pt; }
  .fold { display: none; } .fold + label { border: 0; padding: 0; font-weight: 600; break-after: avoid; }
  .fold + label::before { content: "" !important; }
  .track i { height: 22pt; } .bars { margin: 12pt 0; } .tile p, .tile .change { font-size: 8pt; }
  .tile .now { font-size: 11.5pt; } .scroll { margin: 6pt 0; } svg { margin: 6pt 0; }
}
"""
)
