"""The classic table out of a sweep: precision against batch size, with latency, throughput and gain."""

from __future__ import annotations

from photofinish.perf.formatting import VoidText, milliseconds, number, times
from photofinish.perf.judge.findings import SectionFindings
from photofinish.perf.judge.summary import ArmSummary
from photofinish.perf.report.tables import Table
from photofinish.perf.report.words import Words


def classic_rows(found: SectionFindings, say: Words) -> Table | None:
    """One row per batch size and variant in the frames contract, each against FP32 at the same batch size.

    The reference is PyTorch's FP32 variant, else the first FP32 one. Our own load generator at the sweep's lowest
    concurrency. None where the sweep has one batch size or no such reference.
    """
    lowest = min((arm.concurrency for arm in found.section.arms), default=0)
    items = [
        item
        for item in found.summaries
        if item.arm.contract == "frames" and item.arm.generator == "photofinish" and item.arm.concurrency == lowest
    ]
    sizes = sorted({item.arm.batch_size for item in items})
    reference = _reference(items)
    if len(sizes) < 2 or reference is None:
        return None
    header = [
        say("variant"),
        say("precision"),
        say("batch"),
        f"{say('p50')} (ms)",
        f"{say('p95')} (ms)",
        say("images_per_s"),
        say("gain_latency", reference=reference),
        say("gain_throughput", reference=reference),
    ]
    rows = []
    for size in sizes:
        same = [item for item in items if item.arm.batch_size == size]
        against = next((item for item in same if item.arm.model == reference), None)
        rows += [_row(found, item, against) for item in sorted(same, key=lambda item: item.arm.model != reference)]
    return header, rows


def _reference(items: list[ArmSummary]) -> str | None:
    fp32 = [item.arm for item in items if item.arm.precision == "fp32"]
    return next((arm.model for arm in sorted(fp32, key=lambda arm: arm.backend != "pytorch")), None)


def _row(found: SectionFindings, item: ArmSummary, against: ArmSummary | None) -> list[str]:
    old, new = against.latency["p50"] if against else None, item.latency["p50"]
    rate = item.frames_per_s / against.frames_per_s if against and against.frames_per_s else None
    return [
        item.arm.model,
        item.arm.precision,
        str(item.arm.batch_size),
        milliseconds(new),
        milliseconds(item.latency["p95"]),
        number(item.frames_per_s),
        _said(found, old / new if old and new else None),
        _said(found, rate),
    ]


def _said(found: SectionFindings, ratio: float | None) -> str:
    """A ratio; in brackets where the section is not valid."""
    return VoidText(f"({times(ratio)})") if found.is_void and ratio is not None else times(ratio)
