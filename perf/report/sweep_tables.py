"""Tables out of a sweep: the classic one of precision against batch size, one row a variant, and every row."""

from __future__ import annotations

from photofinish.perf.formatting import VoidText, milliseconds, number, times
from photofinish.perf.judge.findings import SectionFindings
from photofinish.perf.judge.summary import PERCENTILES, ArmSummary
from photofinish.perf.record.record import Arm
from photofinish.perf.report.gains import ratio_text
from photofinish.perf.report.tables import LATENCIES, Table, counts, memory_text, ms_from_us
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
        say("gain_latency", reference=say.short(reference)),
        say("gain_throughput", reference=say.short(reference)),
    ]
    rows = []
    for size in sizes:
        same = [item for item in items if item.arm.batch_size == size]
        against = next((item for item in same if item.arm.model == reference), None)
        rows += [_row(found, item, against, say) for item in sorted(same, key=lambda item: item.arm.model != reference)]
    return header, rows


def _reference(items: list[ArmSummary]) -> str | None:
    fp32 = [item.arm for item in items if item.arm.precision == "fp32"]
    return next((arm.model for arm in sorted(fp32, key=lambda arm: arm.backend != "pytorch")), None)


def _row(found: SectionFindings, item: ArmSummary, against: ArmSummary | None, say: Words) -> list[str]:
    old, new = against.latency["p50"] if against else None, item.latency["p50"]
    rate = item.frames_per_s / against.frames_per_s if against and against.frames_per_s else None
    return [
        say.short(item.arm.model),
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


def variant_rows(found: SectionFindings, say: Words) -> Table:
    """One row per variant: latency of a single request, and the most frames a second with the load that gave them.

    By our own load generator where it ran, else by perf_analyzer; pictures one by one where that was measured.
    """
    rows = []
    for model in dict.fromkeys(item.arm.model for item in found.summaries):
        items = _comparable([item for item in found.summaries if item.arm.model == model])
        single = min(items, key=lambda item: item.arm.concurrency)
        best = max(items, key=lambda item: item.frames_per_s)
        bases = [item for item in found.summaries if item.arm.role == "baseline"]
        peers = _comparable([item for item in bases if item.arm.is_of_same_network(best.arm)])
        peer = max(peers, key=lambda item: item.frames_per_s, default=None)
        rows.append(
            [
                say.short(model),
                *(milliseconds(single.latency[key]) for key in PERCENTILES),
                number(best.frames_per_s),
                str(best.arm.concurrency),
                memory_text(best, say),
                ratio_text(found, best, peer),
            ]
        )
    header = [
        say("variant"),
        *(f"{say(key)} (ms)" for key in PERCENTILES),
        say("most_fps"),
        say("at_concurrency"),
        say("gpu_memory"),
        say("speed_up"),
    ]
    return header, rows


def _comparable(items: list[ArmSummary]) -> list[ArmSummary]:
    """Of a variant's rows those of one load generator and the smallest batch."""
    generator = "photofinish" if any(item.arm.generator == "photofinish" for item in items) else "perf_analyzer"
    same = [item for item in items if item.arm.generator == generator]
    smallest = min((item.arm.batch_size for item in same), default=1)
    return [item for item in same if item.arm.batch_size == smallest]


def sweep_rows(found: SectionFindings, say: Words) -> Table:
    """One row per variant, concurrency and load generator, with the speed-up against the baseline at the same load."""
    header = [
        say("variant"),
        say("generator"),
        say("batch"),
        say("concurrency"),
        say("requests"),
        say("fps"),
        *(f"{say(key)} (ms)" for key in LATENCIES),
        f"{say('queue')} (ms)",
        f"{say('compute')} (ms)",
        say("gpu_memory"),
        say("speed_up"),
    ]
    summaries = found.summaries
    rows = []
    for item in summaries:
        arm = item.arm
        peer = next((other for other in summaries if _is_baseline_of(other.arm, arm)), None)
        rows.append(
            [
                say.short(arm.model),
                arm.generator,
                str(arm.batch_size),
                str(arm.concurrency),
                counts(item, say),
                number(item.frames_per_s),
                *(milliseconds(item.latency[key]) for key in LATENCIES),
                number(ms_from_us(item.queue_us)),
                number(ms_from_us(item.compute_us)),
                memory_text(item, say),
                ratio_text(found, item, peer),
            ]
        )
    return header, rows


def _is_baseline_of(other: Arm, arm: Arm) -> bool:
    same = (arm.concurrency, arm.batch_size, arm.generator)
    return (
        other.role == "baseline"
        and other.is_of_same_network(arm)
        and (other.concurrency, other.batch_size, other.generator) == same
    )
