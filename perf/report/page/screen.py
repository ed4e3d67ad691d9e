"""The first screen of a report as HTML, for a report's page and for a poster."""

from __future__ import annotations

from html import escape

from photofinish.perf.formatting import RangedText, VoidText
from photofinish.perf.report.page.first import Bar, ClaimLine, FigureTile, FirstScreen
from photofinish.perf.report.words import Words


def screen_html(screen: FirstScreen, say: Words, *, title: str) -> str:
    """Claim, what was compared on what, pill, bars and tiles. title: stands where there is no claim."""
    claims = "".join(_claim_html(line, is_one_of_several=len(screen.lines) > 1) for line in screen.lines)
    bars = f"<p>{escape(say('median_latency'))}</p>" + "".join(map(_bar_html, screen.bars)) if screen.bars else ""
    tiles = "".join(map(_tile_html, screen.tiles))
    void = " void" if screen.is_void else ""
    return f"""{claims or f'<h1 class="claim">{escape(title)}</h1>'}
<div class="trust"><span class="pill {screen.tone}">{escape(screen.pill)}</span><p>{escape(screen.trust)}</p></div>
<p class="compared">{escape(screen.compared)}</p>
<p class="compared">{escape(screen.machine)}</p>
<div class="bars{void}">{bars}</div>
<div class="tiles{void}">{tiles}</div>"""


def cell_html(cell: str) -> str:
    """A cell; the interval behind a figure is set fainter and kept together, a void gain is grey."""
    if isinstance(cell, VoidText):
        return f'<span class="void">{escape(cell)}</span>'
    if isinstance(cell, RangedText):
        return f'{escape(cell.figure)} <span class="ci">{escape(cell.span)}</span>'
    return escape(cell)


def _claim_html(line: ClaimLine, *, is_one_of_several: bool) -> str:
    against = f'<span class="against">{escape(line.against.strip())}</span> ' if line.against else ""
    gain = f'<span class="gain">{escape(line.gain)}</span>' if line.gain else ""
    span = f' <span class="ci">{escape(line.span)}</span>' if line.span else ""
    kind = f"claim{' two' if is_one_of_several else ''}{' void' if line.is_void else ''}"
    return f'<h1 class="{kind}">{against}{escape(line.said)}{gain}{span}</h1>'


def _bar_html(bar: Bar) -> str:
    how = f" <span>{escape(bar.how)}</span>" if bar.how else ""
    ours = ' class="ours"' if bar.is_ours else ""
    return (
        f'<div class="bar"><div class="who"><b>{escape(bar.name)}</b>{how}</div><div class="track">'
        f'<i{ours} style="width:{84 * bar.share:.1f}%"></i><b>{escape(bar.value)}</b></div></div>'
    )


def _tile_html(tile: FigureTile) -> str:
    change = f'<p class="change">{cell_html(tile.change)}</p>' if tile.change else ""
    now = f"{escape(tile.before)} → {escape(tile.after)}"
    return f'<div class="tile"><p>{escape(tile.name)}</p><p class="now">{now}</p>{change}</div>'
