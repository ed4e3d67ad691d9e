"""Tables of commands that draw no report: `photofinish perf compare` and `photofinish export --best`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from photofinish.percentiles import min_samples
from photofinish.perf.formatting import MISSING, RangedText, interval_text, milliseconds, number
from photofinish.perf.judge.best import Candidate, VariantFacts
from photofinish.perf.judge.compare import ArmPair
from photofinish.perf.report.tables import Table
from photofinish.perf.report.words import Words
from photofinish.perf.statistics import Interval


def compare_rows(pairs: Sequence[ArmPair], say: Words) -> Table:
    """One row per arm that both records have: each one's figures, and the second against the first."""
    header = [
        say("arm"),
        "A P50 (ms)",
        "B P50 (ms)",
        say("gain_p50"),
        "A P95 (ms)",
        "B P95 (ms)",
        say("gain_p95"),
        "A FPS",
        "B FPS",
        say("gain_fps"),
    ]
    rows = []
    for pair in pairs:
        cells = [f"{pair.section}: {say.arm(pair.before.arm)}"]
        for key in ("p50", "p95"):
            cells += [milliseconds(item.latency[key]) for item in (pair.before, pair.after)]
            cells.append(_gain(pair.gains[key], say))
        cells += [number(item.frames_per_s) for item in (pair.before, pair.after)]
        rows.append([*cells, _gain(pair.gains["frames_per_s"], say)])
    return header, rows


def table_from_candidates(
    candidates: Sequence[Candidate],
    best: Candidate | None,
    *,
    facts: Sequence[VariantFacts] = (),
    p95_ms: float | None = None,
) -> str:
    """All candidates, the most frames per second first, the chosen one marked; then what was not measured, and why.

    facts: what is known beside speed, of variants that were not measured too. p95_ms: the limit, to say who missed it.
    """
    about = {item.model: item for item in facts}
    header = ("variant", "in flight", "FPS", "P95 (ms)", "accuracy kept", "file (MiB)", "")
    rows = [header]
    for item in sorted(candidates, key=lambda item: -item.frames_per_s):
        p95 = "too few" if item.p95_ns is None else milliseconds(item.p95_ns)
        note = "best" if item == best else _why_not_best(item, p95_ms, about.get(item.model))
        rows.append((item.model, str(item.in_flight), number(item.frames_per_s), p95, *_known(about, item.model), note))
    measured = {item.model for item in candidates}
    for fact in facts:
        if fact.model not in measured:
            rows.append((fact.model, MISSING, MISSING, MISSING, *_known(about, fact.model), fact.why_not))
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def sentence_on_best(best: Candidate, candidates: Sequence[Candidate], *, p95_ms: float) -> str:
    """Why it is this one, and what comes next."""
    kept = {item.model for item in candidates if item.keeps(p95_ms)}
    others = [item for item in candidates if item.model != best.model and item.keeps(p95_ms)]
    text = (
        f"{best.model} has the most FPS ({number(best.frames_per_s)}, {best.in_flight} in flight) of the {len(kept)} "
        f"measured variants that passed the gate and keep a P95 of {p95_ms:g} ms"
    )
    if not others:
        return text
    second = max(others, key=lambda item: item.frames_per_s)
    return f"{text}; next is {second.model} with {number(second.frames_per_s)}"


def _why_not_best(item: Candidate, p95_ms: float | None, fact: VariantFacts | None) -> str:
    if item.errors:
        return f"{item.errors} errors"
    if p95_ms is None or item.p95_ns is None or item.keeps(p95_ms):
        return fact.why_not if fact else ""
    return f"P95 above {p95_ms:g} ms"


def _known(about: Mapping[str, VariantFacts], model: str) -> tuple[str, str]:
    """Accuracy kept and size of the file."""
    fact = about.get(model)
    if fact is None:
        return MISSING, MISSING
    return MISSING if fact.kept is None else f"{fact.kept:.2%}", number(fact.file_bytes / 2**20)


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


def _gain(interval: Interval | None, say: Words) -> str:
    if interval is not None and interval.holds(1.0):
        return RangedText(say("no_difference"), interval)
    return interval_text(interval)
