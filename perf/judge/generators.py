"""Where the two load generators of a sweep disagree."""

from __future__ import annotations

from photofinish.perf.judge.summary import ArmSummary, summaries_from_section
from photofinish.perf.record.record import Section

MAX_DISAGREEMENT = 0.10
"""Where perf_analyzer and our own closed loop differ by more than this, the report says it."""


def generator_disagreements(section: Section) -> list[tuple[str, float]]:
    """The row in words, and the ratio of median latencies (perf_analyzer / ours) where they differ too much."""
    found = []
    summaries = summaries_from_section(section)
    ours = {_cell(item): item for item in summaries if item.arm.generator == "photofinish"}
    for item in summaries:
        own = ours.get(_cell(item))
        if item.arm.generator != "perf_analyzer" or own is None:
            continue
        theirs_ns, ours_ns = item.latency["p50"], own.latency["p50"]
        if theirs_ns and ours_ns and abs(theirs_ns / ours_ns - 1) > MAX_DISAGREEMENT:
            found.append((item.arm.label, theirs_ns / ours_ns))
    return found


def _cell(item: ArmSummary) -> tuple[str, int, int]:
    return item.arm.model, item.arm.batch_size, item.arm.concurrency
