"""Header and rows of every table, as text cells, for the terminal, Markdown, CSV and HTML alike."""

from __future__ import annotations

from photofinish.perf.formatting import (
    MISSING,
    mebibytes,
    milliseconds,
    number,
    plain_interval,
    times,
)
from photofinish.perf.judge.findings import SectionFindings
from photofinish.perf.judge.stages import STAGES
from photofinish.perf.judge.summary import PERCENTILES, ArmSummary
from photofinish.perf.judge.verdict import Verdict
from photofinish.perf.record.record import Arm, Record
from photofinish.perf.report.gains import bought_text, claim_text, gain_text, judged_text
from photofinish.perf.report.words import Words

Table = tuple[list[str], list[list[str]]]
LATENCIES = ("mean", *PERCENTILES)


def headline_rows(found: SectionFindings, say: Words) -> Table:
    """One row per figure: baseline, optimised, gain. The table a reader looks at first."""
    before, after = found.summaries[:2]
    rows = [_row("fps", [number(item.frames_per_s) for item in (before, after)], say,
                 gain_text(found, after, "frames_per_s", say))]  # fmt: skip
    for key in LATENCIES:
        values = [milliseconds(item.latency[key]) for item in (before, after)]
        rows.append(_row(key, values, say, gain_text(found, after, key, say)))
    memory = [memory_text(item, say) for item in (before, after)]
    rows.append(_row("gpu_memory", memory, say, _memory_gain(before, after)))
    rows.append(_row("accuracy", [_accuracy(item.arm, say) for item in (before, after)], say))
    rows.append(_row("joule", [number(item.images_per_joule) for item in (before, after)], say))
    return _sides(found, rows, say)


def resource_rows(found: SectionFindings, say: Words) -> Table:
    """What both sides took, and where the time went: one row per figure."""
    both = found.summaries[:2]
    rows = [
        _row("requests", [counts(item, say) for item in both], say),
        _row("bytes", [number(item.arm.bytes_per_request / 1e6) for item in both], say),
        _row("queue", [number(ms_from_us(item.queue_us)) for item in both], say),
        _row("compute", [number(ms_from_us(item.compute_us)) for item in both], say),
        _row("outside", [number(ms_from_us(item.outside_server_us)) for item in both], say),
        _row("batch", [number(item.mean_batch) for item in both], say),
        _row("client_cpu", [number(item.client_cpu_cores) for item in both], say),
        _row("server_cpu", [number(item.server_cpu_cores) for item in both], say),
        _row("gpu_use", [number(item.gpu_utilisation) for item in both], say),
        _row("gpu_power", [number(item.gpu_power_w) for item in both], say),
    ]
    return _sides(found, rows, say)


def _row(key: str, values: list[str], say: Words, gain: str = "") -> list[str]:
    return [say(f"row_{key}"), *values, gain]


def _sides(found: SectionFindings, rows: list[list[str]], say: Words) -> Table:
    """The rows in which something was measured, under the names of both sides."""
    names = [say.short(item.arm.model) or say.arm(item.arm) for item in found.summaries[:2]]
    nothing = {MISSING, say("no_gpu"), say("not_measured")}
    header = [say("metric"), say("baseline"), say("optimised"), say("gain")]
    return header, [["", *names, ""], *(row for row in rows if set(row[1:3]) - nothing)]


def comparison_rows(found: SectionFindings, say: Words) -> Table:
    """One row per arm; the gain in P50, P95 and throughput against the first, with its interval."""
    header = [
        say("arm"),
        say("requests"),
        say("fps"),
        *(f"{say(key)} (ms)" for key in LATENCIES),
        say("gpu_memory"),
        say("gain_p50"),
        say("gain_p95"),
        say("gain_fps"),
    ]
    summaries = found.summaries
    overloaded = [item.arm.key in found.overloaded for item in summaries]
    rows = []
    for item, is_late in zip(summaries, overloaded, strict=True):
        latencies = [milliseconds(item.latency[key]) for key in LATENCIES]
        if is_late:
            latencies = [say("overloaded"), *[MISSING] * (len(LATENCIES) - 1)]
        hides_latency = is_late or overloaded[0]
        gains = [MISSING if hides_latency else gain_text(found, item, key, say) for key in ("p50", "p95")]
        rows.append(
            [
                say.arm(item.arm),
                counts(item, say),
                number(item.frames_per_s),
                *latencies,
                memory_text(item, say),
                *gains,
                gain_text(found, item, "frames_per_s", say),
            ]
        )
    return header, rows


def ladder_rows(found: SectionFindings, say: Words) -> Table:
    """One row per rung: what changed, what it bought against the rung before, and in all."""
    header = [
        say("rung"),
        say("change"),
        f"{say('p50')} (ms)",
        f"{say('p95')} (ms)",
        say("fps"),
        say("bought_ms"),
        say("step_gain"),
        say("step_fps"),
        say("total_gain"),
    ]
    rows = [
        [
            say.arm(step.summary.arm),
            say.changes(step.summary.arm.changes) or MISSING,
            milliseconds(step.summary.latency["p50"]),
            milliseconds(step.summary.latency["p95"]),
            number(step.summary.frames_per_s),
            bought_text(step),
            claim_text(step.latency, say),
            claim_text(step.rate, say),
            gain_text(found, step.summary, "p50", say),
        ]
        for step in found.steps
    ]
    return header, rows


def engine_rows(found: SectionFindings, say: Words) -> Table:
    """One row per artifact and batch size in a bare loop."""
    header = [
        say("variant"),
        say("batch"),
        say("requests"),
        *(f"{say(key)} (ms)" for key in LATENCIES),
        say("images_per_s"),
    ]
    rows = [
        [
            say.arm(item.arm),
            str(item.arm.batch_size),
            counts(item, say),
            *(milliseconds(item.latency[key]) for key in LATENCIES),
            number(item.frames_per_s),
        ]
        for item in found.summaries
    ]
    return header, rows


def stage_table(found: SectionFindings, say: Words) -> Table:
    """One row per arm: mean microseconds a request spends in each stage."""
    header = [say("arm"), *(f"{say(f'stage_{key}')} (µs)" for key in STAGES)]
    header.append(f"{say('total')} (µs)")
    rows = []
    for item in found.stages:
        known = {key: item.server_known or key in ("prepare", "wire", "decode") for key in STAGES}
        cells = [number(item.stage_us[key]) if known[key] else MISSING for key in STAGES]
        rows.append([say.arm(item.arm), *cells, number(item.total_us)])
    return header, rows


def part_rows(verdict: Verdict, say: Words) -> Table:
    """One row per part: VALID, INVALID, or which of its claims are INVALID."""
    rows = [[say.section(part.section), judged_text(part, say)] for part in verdict.parts]
    return [say("part"), say("judged")], rows


def limit_rows(verdict: Verdict, say: Words) -> Table:
    """One row per limit: what was wanted, what was found, what follows."""
    header = [say("h_limits"), say("limit"), say("found"), say("outcome")]
    rows = [
        [
            say(f"limit_{item.name}"),
            number(item.limit),
            plain_interval(item.found) if item.found else say("not_measured"),
            say(item.outcome),
        ]
        for item in verdict.limits
    ]
    return header, rows


def fingerprint_rows(record: Record, say: Words) -> Table:
    """The environment, one key a row."""
    rows: list[list[str]] = []
    for key, value in {**record.environment, "source": record.source}.items():
        rows += _flattened(key, value)
    return [say("key"), say("value")], rows


def without_empty(table: Table, say: Words) -> Table:
    """The table without columns in which nothing was measured; the first one stays."""
    header, rows = table
    nothing = {MISSING, "", say("no_gpu"), say("not_measured")}
    kept = [0, *(index for index in range(1, len(header)) if {row[index] for row in rows} - nothing)]
    return [header[index] for index in kept], [[row[index] for index in kept] for row in rows]


def _flattened(key: str, value: object) -> list[list[str]]:
    if isinstance(value, dict):
        return [row for name, item in value.items() for row in _flattened(f"{key}.{name}", item)]
    if isinstance(value, (list, tuple)):
        return [row for index, item in enumerate(value) for row in _flattened(f"{key}.{index}", item)]
    return [[key, str(value)]] if value not in ("", None) else []


def counts(item: ArmSummary, say: Words) -> str:
    """Requests, and how many of them failed."""
    return f"{item.requests}" if not item.errors else f"{item.requests} ({say('failed', errors=item.errors)})"


def memory_text(item: ArmSummary, say: Words) -> str:
    """MiB of GPU memory, or that there is no GPU."""
    return mebibytes(item.gpu_memory_bytes) if item.gpu_memory_bytes is not None else say("no_gpu")


def _memory_gain(before: ArmSummary, after: ArmSummary) -> str:
    if not before.gpu_memory_bytes or not after.gpu_memory_bytes:
        return ""
    return times(before.gpu_memory_bytes / after.gpu_memory_bytes)


def _accuracy(arm: Arm, say: Words) -> str:
    value = arm.accuracy.get("map50_95")
    return say("not_measured") if value is None else number(float(value))


def ms_from_us(value_us: float | None) -> float | None:
    """Microseconds as milliseconds."""
    return None if value_us is None else value_us / 1000
