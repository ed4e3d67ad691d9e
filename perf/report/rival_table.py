"""Ours beside what a user would run instead, and the four speed-ups that are easily taken for one another."""

from __future__ import annotations

from collections.abc import Sequence

from photofinish.perf.formatting import MISSING, VoidText, interval_text, milliseconds, number, times
from photofinish.perf.judge.claims import claim_of_pair
from photofinish.perf.judge.findings import SectionFindings
from photofinish.perf.judge.speedups import SpeedUp
from photofinish.perf.judge.summary import ArmSummary
from photofinish.perf.report.gains import claim_text
from photofinish.perf.report.tables import Table
from photofinish.perf.report.words import Words


def rival_rows(found: SectionFindings, say: Words) -> Table:
    """One row per program: latency, frames a second, processor time of its client, its boxes, and ours against it."""
    header = [
        say("arm"),
        f"{say('p50')} (ms)",
        f"{say('p95')} (ms)",
        say("fps"),
        say("client_cpu_frame"),
        say("boxes_found"),
        say("ours_p50"),
        say("ours_fps"),
    ]
    ours = found.summaries[-1]
    return header, [
        [
            say.arm(item.arm),
            milliseconds(item.latency["p50"]),
            milliseconds(item.latency["p95"]),
            number(item.frames_per_s),
            number(item.client_cpu_ms),
            MISSING if item is ours else _boxes(item, say),
            *(_gain(found, item, ours, key, say) for key in ("p50", "frames_per_s")),
        ]
        for item in found.summaries
    ]


def speed_up_rows(items: Sequence[SpeedUp], say: Words, *, is_void: bool) -> Table:
    """The four speed-ups, one row each. is_void: whether the comparison they come from may not be believed."""
    header = [say("speed_up_kind"), say("before_us"), say("after_us"), say("gain")]
    return header, [
        [
            say(f"speed_up_{item.kind}"),
            number(item.before_us / 1000),
            number(item.after_us / 1000),
            VoidText(f"({times(item.ratio)})") if is_void else _ratio(item),
        ]
        for item in items
    ]


def _ratio(item: SpeedUp) -> str:
    return interval_text(item.interval) if item.interval else times(item.ratio)


def _boxes(item: ArmSummary, say: Words) -> str:
    agreement = item.arm.agreement
    if not agreement:
        return MISSING
    text = say("boxes_matched", matched=agreement["matched"], boxes=agreement["boxes"])
    overlap = agreement.get("mean_iou")
    return text if overlap is None else f"{text}, IoU {number(overlap)}"


def _gain(found: SectionFindings, item: ArmSummary, ours: ArmSummary, key: str, say: Words) -> str:
    if item is ours:
        return MISSING
    claim = claim_of_pair(found.claims, key, ours.arm, item.arm)
    return MISSING if claim is None else claim_text(claim, say)
