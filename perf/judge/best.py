"""The best variant under a latency limit: the most frames per second whose P95 keeps it, as measured here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from photofinish.percentiles import min_samples
from photofinish.perf.formatting import milliseconds, number
from photofinish.perf.judge.summary import summaries_from_section
from photofinish.perf.record.record import Section


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One variant at one number of requests in flight. p95_ns: None where the sample is too small to say."""

    model: str
    in_flight: int
    frames_per_s: float
    p95_ns: float | None
    errors: int

    def keeps(self, p95_ms: float) -> bool:
        """Whether it answered every request and its P95 is known and within the limit."""
        return not self.errors and self.p95_ns is not None and self.p95_ns <= p95_ms * 1e6


def candidates_from_section(section: Section) -> tuple[Candidate, ...]:
    """One candidate per cell of a sweep with our own generator, in its order."""
    return tuple(
        Candidate(
            model=summary.arm.model,
            in_flight=summary.arm.concurrency,
            frames_per_s=summary.frames_per_s,
            p95_ns=summary.latency["p95"],
            errors=summary.errors,
        )
        for summary in summaries_from_section(section)
        if summary.arm.generator == "photofinish"
    )


def best_candidate(candidates: Sequence[Candidate], *, p95_ms: float) -> Candidate | None:
    """The candidate with the most frames per second among those that keep the limit; None when none does."""
    return max((item for item in candidates if item.keeps(p95_ms)), key=lambda item: item.frames_per_s, default=None)


def reason_for_none(candidates: Sequence[Candidate], *, p95_ms: float) -> str:
    """Why there is no best candidate: none could be measured, all are too slow, or some were too slow to say."""
    if not candidates:
        return (
            "no variant was measured: none of those that kept their accuracy runs on this machine; export variants for "
            "it, or read above why they were refused"
        )
    if unknown := sum(item.p95_ns is None and not item.errors for item in candidates):
        return (
            f"no variant was shown to keep a P95 of {p95_ms:g} ms: {unknown} of {len(candidates)} rows have fewer than "
            f"{min_samples(0.95)} requests, too few to say; measure on a machine that does nothing else, or use a "
            "smaller model or a GPU"
        )
    return f"no variant keeps a P95 of {p95_ms:g} ms on this machine; allow more, or use a smaller model or a GPU"


def table_from_candidates(candidates: Sequence[Candidate], best: Candidate | None) -> str:
    """All candidates, the most frames per second first; the chosen one is marked."""
    rows = [("variant", "in flight", "FPS", "P95 (ms)", "")]
    for item in sorted(candidates, key=lambda item: -item.frames_per_s):
        p95 = "too few" if item.p95_ns is None else milliseconds(item.p95_ns)
        note = "best" if item == best else (f"{item.errors} errors" if item.errors else "")
        rows.append((item.model, str(item.in_flight), number(item.frames_per_s), p95, note))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
