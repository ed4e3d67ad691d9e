"""The best variant under a latency limit: the most frames per second whose P95 keeps it, as measured here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantFacts:
    """One variant that was asked for. kept: of the baseline's accuracy, None where the gate did not measure it.

    file_bytes: what it loads. why_not: why it was not measured, or what speaks against it on this GPU; "" for nothing.
    """

    model: str
    kept: float | None
    file_bytes: int
    why_not: str = ""


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
