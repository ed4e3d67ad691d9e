"""The pictures of a report, each drawn from a section alone."""

from __future__ import annotations

import numpy as np

from photofinish.percentiles import nearest_rank
from photofinish.perf.formatting import milliseconds, number, tick_label, times
from photofinish.perf.judge.claims import claim_of
from photofinish.perf.judge.findings import SectionFindings
from photofinish.perf.judge.stages import STAGES
from photofinish.perf.judge.summary import ArmSummary, latency_ns_of
from photofinish.perf.record.record import Section
from photofinish.perf.record.samples import NS_PER_MS, NS_PER_S
from photofinish.perf.report.svg import (
    COLOURS,
    GREY,
    WIDE,
    Area,
    dot,
    legend,
    line,
    linear,
    log_ticks,
    logarithmic,
    nice_ticks,
    picture,
    polygon,
    polyline,
    rectangle,
    text,
    text_width,
    x_axis,
    y_axis,
)
from photofinish.perf.report.words import Words

_BINS = 64
SAME = "#7dd3c8"
"""A step that shows no difference."""
_STAGE_COLOURS = ("#94a3b8", "#b45309", "#be185d", "#7dd3c8", "#0f766e", "#134e4a", "#4338ca")


def arm_colours(section: Section) -> dict[str, str]:
    """A colour for each arm: the first is grey."""
    return {
        arm.key: GREY if index == 0 else COLOURS[(index - 1) % len(COLOURS)] for index, arm in enumerate(section.arms)
    }


def distribution_chart(found: SectionFindings, say: Words, width: int = WIDE) -> str:
    """How often each latency came, one hill per arm, with its P50 and P95 marked. Nothing is cut off."""
    section, colours = found.section, arm_colours(found.section)
    values = {arm.key: latency_ns_of(section.blocks_of(arm.key)) / NS_PER_MS for arm in section.arms}
    values = {key: latencies for key, latencies in values.items() if len(latencies)}
    low = min(float(item.min()) for item in values.values()) * 0.97
    high = max(float(item.max()) for item in values.values()) * 1.03
    edges = np.geomspace(low, high, _BINS + 1)
    shares = {key: np.histogram(item, edges)[0] / len(item) for key, item in values.items()}
    entries = [(colours[arm.key], say.arm(arm)) for arm in section.arms if arm.key in values]
    parts, used = legend(14, entries, width)
    area = Area(left=8, top=used + 24, right=width - 8, bottom=used + 184)
    across = logarithmic(low, high, area.left, area.right)
    up = linear(0, max(float(item.max()) for item in shares.values()) * 1.05, area.bottom, area.top)
    for key, share in shares.items():
        steps = [(across(edges[0]), area.bottom)]
        for index, height in enumerate(share):
            steps += [(across(edges[index]), up(height)), (across(edges[index + 1]), up(height))]
        steps.append((across(edges[-1]), area.bottom))
        parts += [polygon(steps, colours[key], opacity=0.35), polyline(steps, colours[key], width=1.5)]
    for item in found.summaries:
        colour = colours[item.arm.key]
        for key, anchor in (("p50", "end"), ("p95", "start")):
            mark = item.latency[key]
            if mark is None or item.arm.key not in values:
                continue
            x = across(mark / NS_PER_MS)
            parts.append(line(x, area.top - 2, x, area.bottom, colour=colour, width=1.5, dashes="4 3"))
            parts.append(text(x, area.top - 6, key.upper(), anchor=anchor, size=11, colour=colour))
    ticks = log_ticks(low, high)
    parts += x_axis(area, across, ticks, [tick_label(tick) for tick in ticks], say("axis_latency"))
    return picture(area.bottom + 44, say("h_distribution"), parts, width)


def load_chart(found: SectionFindings, say: Words, width: int = WIDE) -> str:
    """P50 (full line) and P95 (dashed) of every variant over the number of requests in flight; "" for one number."""
    summaries = found.summaries
    generators = {item.arm.generator for item in summaries}
    smallest = min(item.arm.batch_size for item in summaries)
    shown = [
        item
        for item in summaries
        if item.arm.batch_size == smallest and (item.arm.generator == "perf_analyzer" or len(generators) == 1)
    ]
    models = list(dict.fromkeys(item.arm.model for item in shown))
    levels = sorted({item.arm.concurrency for item in shown})
    first = 1 if any(item.arm.role == "baseline" for item in shown) else 0
    colours = {model: GREY if first and index == 0 else COLOURS[(index - first) % len(COLOURS)]
               for index, model in enumerate(models)}  # fmt: skip
    parts, used = legend(14, [(colours[model], say.short(model)) for model in models], width)
    area = Area(left=52, top=used + 34, right=width - 14, bottom=used + 214)
    points = [value for item in shown for key in ("p50", "p95") if (value := item.latency[key])]
    if not points or len(levels) < 2:
        return ""
    low, high = min(points) / NS_PER_MS * 0.85, max(points) / NS_PER_MS * 1.15
    up = logarithmic(low, high, area.bottom, area.top)
    across = linear(0, max(len(levels) - 1, 1), area.left + 16, area.right - 16)
    title = f"{say('axis_latency')}: P50 ——  P95 - -"
    ticks = log_ticks(low, high)
    parts += y_axis(area, up, ticks, [tick_label(tick) for tick in ticks], title)
    for model in models:
        for key, dashes in (("p50", ""), ("p95", "5 4")):
            curve = [
                (across(levels.index(item.arm.concurrency)), up(value / NS_PER_MS))
                for item in sorted((item for item in shown if item.arm.model == model), key=_concurrency)
                if (value := item.latency[key])
            ]
            parts.append(polyline(curve, colours[model], width=2 if not dashes else 1.5, dashes=dashes))
            parts += [dot(x, y, colours[model], radius=3 if not dashes else 2) for x, y in curve]
    places = [float(index) for index in range(len(levels))]
    parts += x_axis(area, across, places, [str(level) for level in levels], say("axis_concurrency"))
    return picture(area.bottom + 44, say("h_load"), parts, width)


def ladder_chart(found: SectionFindings, say: Words, width: int = WIDE) -> str:
    """Bars of median latency for the rungs with one request of one picture, and of throughput for those with more.

    The throughput bars begin with the last of the latency rungs; beside each bar its gain over the first rung.
    """
    summaries = [item for item in found.summaries if item.latency["p50"]]
    single = [item for item in summaries if (item.arm.concurrency, item.arm.batch_size) == (1, 1)]
    several = [item for item in summaries if item not in single]
    left = max((text_width(say.arm(item.arm)) for item in summaries), default=0) + 18
    entries = [(GREY, say("legend_start")), (COLOURS[0], say("legend_better")), (COLOURS[1], say("legend_worse"))]
    entries.append((SAME, say("no_difference")))
    parts, used = legend(14, entries, width)
    bars = [(item, item.latency["p50"] or 0.0, milliseconds(item.latency["p50"]), "p50") for item in single]
    across = (left, float(width))
    more, y = _bars(found, bars, say("axis_ms_per_frame"), across, used + 24, say, is_less_better=True)
    parts += more
    if several:
        rates = [(item, item.frames_per_s, number(item.frames_per_s), "frames_per_s") for item in single[-1:] + several]
        more, y = _bars(found, rates, say("row_fps"), across, y + 22, say, is_less_better=False)
        parts += more
    return picture(y, say("h_ladder"), parts, width)


def _bars(
    found: SectionFindings,
    bars: list[tuple[ArmSummary, float, str, str]],
    title: str,
    between: tuple[float, float],
    y: float,
    say: Words,
    *,
    is_less_better: bool,
) -> tuple[list[str], float]:
    """A titled group of bars, (summary, value, its text, key of the gain), and where it ends.

    between: where bars begin, and where the picture ends.
    A rung whose step is not valid is grey, one that shows no difference pale; a gain stands beside a bar only where a
    difference was shown.
    """
    left, width = between
    parts = [text(left, y, title, faint=True)]
    across = linear(0, max((value for _, value, _, _ in bars), default=1.0), left, width - 108)
    y, before = y + 12, None
    for item, value, said, key in bars:
        is_better = before is None or (value <= before if is_less_better else value >= before)
        gain, step = found.gain(item.arm, key), claim_of(found.claims, "step", key, item.arm)
        is_void = item.is_first or (step is not None and bool(step.reasons))
        is_same = step is not None and not step.shows_difference
        colour = GREY if is_void else SAME if is_same else COLOURS[0] if is_better else COLOURS[1]
        end = across(value)
        parts += [
            text(left - 8, y + 15, say.arm(item.arm), anchor="end"),
            rectangle(left, y, end - left, 20, colour),
            text(end + 6, y + 15, said, bold=True),
        ]
        if gain and gain.shows_difference and not gain.reasons:
            parts.append(text(width, y + 15, times(gain.value), anchor="end", faint=True))
        y, before = y + 28, value
    return parts, y + 4


def stage_chart(found: SectionFindings, say: Words, width: int = WIDE) -> str:
    """A bar per arm, cut into the stages of one request."""
    rows = found.stages
    labels = [say.arm(row.arm) for row in rows]
    entries = [(colour, say(f"stage_{key}")) for key, colour in zip(STAGES, _STAGE_COLOURS, strict=True)]
    parts, used = legend(14, entries, width)
    across = linear(0, max(row.total_us for row in rows), 0, width - 76)
    y = used + 26
    for row, label in zip(rows, labels, strict=True):
        parts.append(text(0, y, label))
        x = 0.0
        for key, colour in zip(STAGES, _STAGE_COLOURS, strict=True):
            length = across(row.stage_us[key])
            if length >= 0.3:
                parts.append(rectangle(x, y + 6, length, 20, colour))
            x += length
        parts.append(text(x + 6, y + 21, f"{number(row.total_us / 1000)} ms", bold=True))
        y += 52
    return picture(y - 14, say("h_stages"), parts, width)


def timeline_chart(found: SectionFindings, say: Words, width: int = WIDE) -> str:
    """Every block where it was in time: its median as a dot, P5 to P95 as a line; the GPU's clock below."""
    section, colours = found.section, arm_colours(found.section)
    blocks = [block for block in section.blocks if block.samples.completed_count]
    spread = {
        id(block): [nearest_rank(block.samples.latency_ns, share) / NS_PER_MS for share in (0.05, 0.5, 0.95)]
        for block in blocks
    }
    entries = [(colours[arm.key], say.arm(arm)) for arm in section.arms]
    parts, used = legend(14, entries, width)
    area = Area(left=52, top=used + 34, right=width - 14, bottom=used + 194)
    low = min(item[0] for item in spread.values()) * 0.9
    high = max(item[2] for item in spread.values()) * 1.1
    end_s = max((block.began_ns + block.samples.window_ns) / NS_PER_S for block in blocks)
    up = logarithmic(low, high, area.bottom, area.top)
    across = linear(0, end_s, area.left, area.right)
    ticks = log_ticks(low, high)
    title = f"{say('axis_latency')}: P5, P50, P95"
    parts += y_axis(area, up, ticks, [tick_label(tick) for tick in ticks], title)
    for block in blocks:
        x = across((block.began_ns + block.samples.window_ns / 2) / NS_PER_S)
        bottom, middle, top = (up(value) for value in spread[id(block)])
        parts += [line(x, bottom, x, top, colour=colours[block.arm], width=2.5, opacity=0.45)]
        parts += [dot(x, middle, colours[block.arm], radius=3.5)]
    clocks = [
        (across((block.began_ns + block.samples.window_ns / 2) / NS_PER_S), block.observed.gpus[0].sm_clock_mean_mhz)
        for block in blocks
        if block.observed.gpus and block.observed.gpus[0].sm_clock_mean_mhz
    ]
    seconds = nice_ticks(0, end_s, 6)
    labels = [tick_label(value) for value in seconds]
    parts += x_axis(area, across, seconds, labels, say("axis_time"))
    parts += _clock_strip(clocks, area, say)
    return picture(area.bottom + (104 if clocks else 44), say("h_timeline"), parts, width)


def _clock_strip(clocks: list[tuple[float, float]], area: Area, say: Words) -> list[str]:
    """The GPU's mean clock of every block, below the time line; nothing where there is no GPU."""
    if not clocks:
        return []
    top = area.bottom + 62
    up = linear(0, max(value for _, value in clocks), top + 34, top)
    parts = [text(0, top - 8, f"{say('axis_clock')}: {number(clocks[-1][1])}", faint=True)]
    parts += [line(x, top + 34, x, up(value), colour=GREY, width=4, opacity=0.5) for x, value in clocks]
    return [*parts, line(area.left, top + 34, area.right, top + 34, opacity=0.3)]


def _concurrency(item: ArmSummary) -> int:
    return item.arm.concurrency
