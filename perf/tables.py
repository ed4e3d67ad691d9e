"""Header and rows of every table, as text cells, for the terminal, Markdown, CSV and HTML alike."""

from __future__ import annotations

from perf.formatting import mebibytes, milliseconds, number, times
from perf.record import Section
from perf.statistics import Interval
from perf.summary import ArmSummary, summaries_from_section
from perf.wording import word

Table = tuple[list[str], list[list[str]]]


def comparison_rows(section: Section, *, lang: str = "en") -> Table:
    """One row per arm; the gain in P50, P95 and throughput against the first, with its interval."""
    header = [
        word("arm", lang),
        word("requests", lang),
        word("fps", lang),
        *(f"{word(key, lang)} (ms)" for key in ("mean", "p50", "p95", "p99")),
        word("gpu_memory", lang),
        word("gain_p50", lang),
        word("gain_p95", lang),
        word("gain_fps", lang),
    ]
    rows = []
    for item in summaries_from_section(section):
        rows.append(
            [
                item.arm.label,
                _counts(item),
                number(item.frames_per_s),
                *(milliseconds(item.latency[key]) for key in ("mean", "p50", "p95", "p99")),
                mebibytes(item.gpu_memory_bytes) if item.gpu_memory_bytes is not None else word("no_gpu", lang),
                *(gain_text(item, key) for key in ("p50", "p95", "frames_per_s")),
            ]
        )
    return header, rows


def sweep_rows(section: Section, *, lang: str = "en") -> Table:
    """One row per variant, concurrency and load generator, with the speed-up against the baseline at the same load."""
    header = [
        word("variant", lang),
        word("generator", lang),
        word("concurrency", lang),
        word("requests", lang),
        word("fps", lang),
        *(f"{word(key, lang)} (ms)" for key in ("mean", "p50", "p95", "p99")),
        f"{word('queue', lang)} (ms)",
        f"{word('compute', lang)} (ms)",
        word("gpu_memory", lang),
        word("speed_up", lang),
    ]
    summaries = summaries_from_section(section)
    rows = []
    for item in summaries:
        arm = item.arm
        peer = next(
            (
                other
                for other in summaries
                if other.arm.role == "baseline"
                and (other.arm.concurrency, other.arm.generator) == (arm.concurrency, arm.generator)
            ),
            None,
        )
        rows.append(
            [
                arm.model,
                arm.generator,
                str(arm.concurrency),
                _counts(item),
                number(item.frames_per_s),
                *(milliseconds(item.latency[key]) for key in ("mean", "p50", "p95", "p99")),
                number(_ms_from_us(item.queue_us)),
                number(_ms_from_us(item.compute_us)),
                mebibytes(item.gpu_memory_bytes) if item.gpu_memory_bytes is not None else word("no_gpu", lang),
                times(item.frames_per_s / peer.frames_per_s if peer and peer.frames_per_s else None),
            ]
        )
    return header, rows


def gain_text(item: ArmSummary, key: str) -> str:
    """`2.10× [1.95, 2.24]`, `no difference shown` or a dash."""
    if not item.gains:
        return "1×"
    return interval_text(item.gains.get(key))


def interval_text(interval: Interval | None) -> str:
    """An estimate with its interval, or only the estimate when there were no rounds to draw one from."""
    if interval is None:
        return times(None)
    if interval.low == interval.high:
        return times(interval.estimate)
    return f"{times(interval.estimate)} [{number(interval.low)}, {number(interval.high)}]"


def _counts(item: ArmSummary) -> str:
    return f"{item.requests}" if not item.errors else f"{item.requests} ({item.errors} failed)"


def _ms_from_us(value_us: float | None) -> float | None:
    return None if value_us is None else value_us / 1000
