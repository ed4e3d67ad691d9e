"""What a reader of a sweep must know: where the two load generators disagree, and which percentiles are missing."""

from __future__ import annotations

from perf.record import Section
from perf.statistics import min_samples
from perf.summary import summaries_from_section

MAX_DISAGREEMENT = 0.10
"""Where perf_analyzer and our own closed loop differ by more than this, the report says it."""


def generator_disagreements(section: Section) -> list[tuple[str, int, float]]:
    """Model, concurrency and ratio of median latencies (perf_analyzer / ours) where they differ too much."""
    found = []
    summaries = summaries_from_section(section)
    ours = {(item.arm.model, item.arm.concurrency): item for item in summaries if item.arm.generator == "photofinish"}
    for item in summaries:
        own = ours.get((item.arm.model, item.arm.concurrency))
        if item.arm.generator != "perf_analyzer" or own is None:
            continue
        theirs_ns, ours_ns = item.latency["p50"], own.latency["p50"]
        if theirs_ns and ours_ns and abs(theirs_ns / ours_ns - 1) > MAX_DISAGREEMENT:
            found.append((item.arm.model, item.arm.concurrency, theirs_ns / ours_ns))
    return found


def percentile_note(section: Section) -> str:
    """Why a percentile is missing, or nothing when none is."""
    short = [item for item in summaries_from_section(section) if item.requests and item.latency["p99"] is None]
    if not short:
        return ""
    return (
        f"P95 needs {min_samples(0.95)} requests and P99 {min_samples(0.99)}; "
        f"{len(short)} of {len(section.arms)} rows have fewer: raise --seconds to see them"
    )
