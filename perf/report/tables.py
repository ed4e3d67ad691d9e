"""Header and rows of every table, as text cells, for the terminal, Markdown, CSV and HTML alike."""

from __future__ import annotations

from photofinish.perf.formatting import MISSING, mebibytes, milliseconds, number, times
from photofinish.perf.judge.stages import STAGES, stage_rows
from photofinish.perf.judge.summary import PERCENTILES, ArmSummary, summaries_from_section
from photofinish.perf.judge.verdict import Verdict, is_overloaded
from photofinish.perf.record.record import Arm, Record, Section
from photofinish.perf.report.recorded_words import translated
from photofinish.perf.report.words import CHANGE_NOUNS, has_word, section_title, word
from photofinish.perf.statistics import Interval

Table = tuple[list[str], list[list[str]]]
_LATENCIES = ("mean", *PERCENTILES)


def headline_rows(section: Section, *, lang: str = "en") -> Table:
    """One row per figure: baseline, optimised, gain. The table a reader looks at first."""
    before, after = summaries_from_section(section)[:2]
    header = [word("metric", lang), word("baseline", lang), word("optimised", lang), word("gain", lang)]
    rows = [["", before.arm.model or before.arm.label, after.arm.model or after.arm.label, ""]]

    def row(key: str, old: str, new: str, gain: str = "") -> None:
        if (old, new) != (MISSING, MISSING):
            rows.append([word(f"row_{key}", lang), old, new, gain])

    row("fps", number(before.frames_per_s), number(after.frames_per_s), gain_text(after, "frames_per_s", lang))
    for key in _LATENCIES:
        row(key, milliseconds(before.latency[key]), milliseconds(after.latency[key]), gain_text(after, key, lang))
    row("gpu_memory", _memory(before, lang), _memory(after, lang), _memory_gain(before, after))
    row("accuracy", *(_accuracy(item.arm, lang) for item in (before, after)))
    row("bytes", *(number(item.arm.bytes_per_request / 1e6) for item in (before, after)))
    row("queue", *(number(_ms(item.queue_us)) for item in (before, after)))
    row("compute", *(number(_ms(item.compute_us)) for item in (before, after)))
    row("outside", *(number(_ms(item.outside_server_us)) for item in (before, after)))
    row("batch", *(number(item.mean_batch) for item in (before, after)))
    row("client_cpu", *(number(item.client_cpu_cores) for item in (before, after)))
    row("server_cpu", *(number(item.server_cpu_cores) for item in (before, after)))
    row("gpu_use", *(number(item.gpu_utilisation) for item in (before, after)))
    row("gpu_power", *(number(item.gpu_power_w) for item in (before, after)))
    row("requests", _counts(before, lang), _counts(after, lang))
    return header, rows


def comparison_rows(section: Section, *, lang: str = "en") -> Table:
    """One row per arm; the gain in P50, P95 and throughput against the first, with its interval."""
    header = [
        word("arm", lang),
        word("requests", lang),
        word("fps", lang),
        *(f"{word(key, lang)} (ms)" for key in _LATENCIES),
        word("gpu_memory", lang),
        word("gain_p50", lang),
        word("gain_p95", lang),
        word("gain_fps", lang),
    ]
    summaries = summaries_from_section(section)
    overloaded = [is_overloaded(section, item) for item in summaries]
    rows = []
    for item, is_late in zip(summaries, overloaded, strict=True):
        latencies = [milliseconds(item.latency[key]) for key in _LATENCIES]
        if is_late:
            latencies = [word("overloaded", lang), *[MISSING] * (len(_LATENCIES) - 1)]
        hides_latency = is_late or overloaded[0]
        gains = [MISSING if hides_latency else gain_text(item, key, lang) for key in ("p50", "p95")]
        rows.append(
            [
                item.arm.label,
                _counts(item, lang),
                number(item.frames_per_s),
                *latencies,
                _memory(item, lang),
                *gains,
                gain_text(item, "frames_per_s", lang),
            ]
        )
    return header, rows


def ladder_rows(section: Section, *, lang: str = "en") -> Table:
    """One row per rung: what changed, what it bought against the rung before, and in all."""
    header = [
        word("rung", lang),
        word("change", lang),
        f"{word('p50', lang)} (ms)",
        f"{word('p95', lang)} (ms)",
        word("fps", lang),
        word("bought_ms", lang),
        word("step_gain", lang),
        word("step_fps", lang),
        word("total_gain", lang),
    ]
    rows: list[list[str]] = []
    before: ArmSummary | None = None
    for item in summaries_from_section(section):
        old, new = before.latency["p50"] if before else None, item.latency["p50"]
        step_fps = item.frames_per_s / before.frames_per_s if before and before.frames_per_s else None
        rows.append(
            [
                arm_label(section, item.arm, lang),
                change_text(item.arm.change, lang) or MISSING,
                milliseconds(new),
                milliseconds(item.latency["p95"]),
                number(item.frames_per_s),
                signed_ms(old - new if old is not None and new is not None else None),
                times(old / new if old and new else None),
                times(step_fps),
                gain_text(item, "p50", lang),
            ]
        )
        before = item
    return header, rows


def sweep_rows(section: Section, *, lang: str = "en") -> Table:
    """One row per variant, concurrency and load generator, with the speed-up against the baseline at the same load."""
    header = [
        word("variant", lang),
        word("generator", lang),
        word("batch", lang),
        word("concurrency", lang),
        word("requests", lang),
        word("fps", lang),
        *(f"{word(key, lang)} (ms)" for key in _LATENCIES),
        f"{word('queue', lang)} (ms)",
        f"{word('compute', lang)} (ms)",
        word("gpu_memory", lang),
        word("speed_up", lang),
    ]
    summaries = summaries_from_section(section)
    rows = []
    for item in summaries:
        arm = item.arm
        peer = next((other for other in summaries if _is_baseline_of(other.arm, arm)), None)
        rows.append(
            [
                arm.model,
                arm.generator,
                str(arm.batch_size),
                str(arm.concurrency),
                _counts(item, lang),
                number(item.frames_per_s),
                *(milliseconds(item.latency[key]) for key in _LATENCIES),
                number(_ms(item.queue_us)),
                number(_ms(item.compute_us)),
                _memory(item, lang),
                times(item.frames_per_s / peer.frames_per_s if peer and peer.frames_per_s else None),
            ]
        )
    return header, rows


def engine_rows(section: Section, *, lang: str = "en") -> Table:
    """One row per artifact and batch size in a bare loop."""
    header = [
        word("variant", lang),
        word("batch", lang),
        word("requests", lang),
        *(f"{word(key, lang)} (ms)" for key in _LATENCIES),
        word("images_per_s", lang),
    ]
    rows = [
        [
            item.arm.label,
            str(item.arm.batch_size),
            _counts(item, lang),
            *(milliseconds(item.latency[key]) for key in _LATENCIES),
            number(item.frames_per_s),
        ]
        for item in summaries_from_section(section)
    ]
    return header, rows


def stage_table(section: Section, *, lang: str = "en") -> Table:
    """One row per arm: mean microseconds a request spends in each stage."""
    header = [word("arm", lang), *(f"{word(f'stage_{key}', lang)} (µs)" for key in STAGES)]
    header.append(f"{word('total', lang)} (µs)")
    rows = []
    for item in stage_rows(section):
        known = {key: item.server_known or key in ("prepare", "wire", "decode") for key in STAGES}
        cells = [number(item.stage_us[key]) if known[key] else MISSING for key in STAGES]
        rows.append([arm_label(section, item.arm, lang), *cells, number(item.total_us)])
    return header, rows


def part_rows(verdict: Verdict, *, lang: str = "en") -> Table:
    """One row per part: VALID or INVALID."""
    rows = [[section_title(part.name, lang), word(part.validity, lang)] for part in verdict.parts]
    return [word("part", lang), word("judged", lang)], rows


def limit_rows(verdict: Verdict, *, lang: str = "en") -> Table:
    """One row per limit: what was wanted, what was found, what follows."""
    header = [word("h_limits", lang), word("limit", lang), word("found", lang), word("outcome", lang)]
    rows = [
        [
            word(f"limit_{item.name}", lang),
            number(item.limit),
            plain_interval(item.found) if item.found else word("not_measured", lang),
            word(item.outcome, lang),
        ]
        for item in verdict.limits
    ]
    return header, rows


def fingerprint_rows(record: Record, *, lang: str = "en") -> Table:
    """The environment, one key a row."""
    rows: list[list[str]] = []
    for key, value in {**record.environment, "source": record.source}.items():
        rows += _flattened(key, value)
    return [word("key", lang), word("value", lang)], rows


def arm_label(section: Section, arm: Arm, lang: str) -> str:
    """The arm's label, in the report's language where it is a rung of the ladder."""
    key = f"rung_{arm.key}"
    return word(key, lang) if section.kind == "ladder" and has_word(key) else arm.label


def change_text(change: str, lang: str) -> str:
    """`engine pytorch → onnxruntime, precision fp32 → fp16` with its nouns in the report's language."""
    return ", ".join(_change_in(part, lang) for part in change.split(", ") if part)


def _change_in(part: str, lang: str) -> str:
    noun = next((noun for noun in CHANGE_NOUNS if part.startswith(f"{noun} ")), "")
    sides = [translated(side, lang) for side in part.removeprefix(f"{noun} ").split(" → ")]
    return f"{word(f'change_{noun}', lang)} {' → '.join(sides)}" if noun else part


def gain_text(item: ArmSummary, key: str, lang: str = "en") -> str:
    """`2.10× [1.95, 2.24]`; where the interval holds 1, that no difference was shown."""
    if item.is_first:
        return "1×"
    interval = item.gain(key)
    if interval is not None and interval.low != interval.high and interval.holds(1.0):
        return f"{word('no_difference', lang)} [{number(interval.low)}, {number(interval.high)}]"
    return interval_text(interval)


def interval_text(interval: Interval | None) -> str:
    """A ratio with its interval, or only the ratio when there were no rounds to draw one from."""
    if interval is None:
        return MISSING
    if interval.low == interval.high:
        return times(interval.estimate)
    return f"{times(interval.estimate)} [{number(interval.low)}, {number(interval.high)}]"


def plain_interval(interval: Interval) -> str:
    """A value with its interval."""
    if interval.low == interval.high:
        return number(interval.estimate)
    return f"{number(interval.estimate)} [{number(interval.low)}, {number(interval.high)}]"


def signed_ms(value_ns: float | None) -> str:
    """Milliseconds with a sign: what was bought is positive."""
    if value_ns is None:
        return MISSING
    return f"{'+' if value_ns >= 0 else '-'}{milliseconds(abs(value_ns))}"


def _flattened(key: str, value: object) -> list[list[str]]:
    if isinstance(value, dict):
        return [row for name, item in value.items() for row in _flattened(f"{key}.{name}", item)]
    if isinstance(value, (list, tuple)):
        return [row for index, item in enumerate(value) for row in _flattened(f"{key}.{index}", item)]
    return [[key, str(value)]] if value not in ("", None) else []


def _is_baseline_of(other: Arm, arm: Arm) -> bool:
    same = (arm.concurrency, arm.batch_size, arm.generator)
    return other.role == "baseline" and (other.concurrency, other.batch_size, other.generator) == same


def _counts(item: ArmSummary, lang: str) -> str:
    return f"{item.requests}" if not item.errors else f"{item.requests} ({word('failed', lang, errors=item.errors)})"


def _memory(item: ArmSummary, lang: str) -> str:
    return mebibytes(item.gpu_memory_bytes) if item.gpu_memory_bytes is not None else word("no_gpu", lang)


def _memory_gain(before: ArmSummary, after: ArmSummary) -> str:
    if not before.gpu_memory_bytes or not after.gpu_memory_bytes:
        return ""
    return times(before.gpu_memory_bytes / after.gpu_memory_bytes)


def _accuracy(arm: Arm, lang: str) -> str:
    value = arm.accuracy.get("map50_95")
    return word("not_measured", lang) if value is None else number(float(value))


def _ms(value_us: float | None) -> float | None:
    return None if value_us is None else value_us / 1000
