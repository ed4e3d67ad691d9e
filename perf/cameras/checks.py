"""A step's check list: one line for each limit, met, missed, or not to be told from so few frames."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

import numpy as np

from photofinish.client.cameras.supervise.tables import WAYS
from photofinish.percentiles import carried_percentile, missing_samples
from photofinish.perf.formatting import number
from photofinish.perf.record.cameras import CamerasRecord, CamerasStep

MAX_LATE_P99_MS = 5.0
"""A generator that is later than this voids the step."""
GENERATOR = "generator"
MIN_GPU_DECODE = "min_gpu_decode_percent"
"""The limit's name: cameras that sessions of a GPU decode. It holds with `--decode gpu` alone."""
Outcome = Literal["met", "missed", "unknown"]
MARKS: dict[Outcome, str] = {"met": "✓", "missed": "✗", "unknown": "?"}
DEFAULT_LIMITS = {
    "min_fps_percent": 95.0,
    "mean_ms": 100.0,
    "p95_ms": 150.0,
    "p99_ms": 200.0,
    "max_drop_percent": 1.0,
    "max_cpu_percent": 90.0,
    "max_gpu_percent": 90.0,
    "max_memory_percent": 90.0,
    "max_gpu_memory_percent": 90.0,
}
"""What a step must hold unless a flag says otherwise; `min_map` has none, the gate's own verdict counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckLine:
    """One line. figure: what was found; rest: the limit, and what helps to understand it."""

    name: str
    outcome: Outcome
    figure: str
    rest: str = ""

    def text(self) -> str:
        """`✓ P95 latency             41.2 ms (limit 150 ms)`."""
        return f"{MARKS[self.outcome]} {self.name:<26} {self.figure}{f' ({self.rest})' if self.rest else ''}"


def checks_from_step(step: CamerasStep, record: CamerasRecord) -> list[CheckLine]:
    """All lines, the generator's first: where that is missed, the step is void whatever the others say."""
    return [
        _generator(step),
        _fps(step, record),
        *_spread(step),
        *_latencies(step, record.limits),
        _drops(step, record.limits),
        _cpu(step, record),
        *_decode(step, record),
        *_gpu(step, record),
        _memory(step, record),
        _accuracy(record),
    ]


def is_void(checks: list[CheckLine]) -> bool:
    """Whether the generator was late, so that nothing can be said."""
    return any(check.name == GENERATOR and check.outcome == "missed" for check in checks)


def _at_most(value: float | None, limit: float) -> Outcome:
    return "unknown" if value is None else "met" if value <= limit else "missed"


def _generator(step: CamerasStep) -> CheckLine:
    limit = f"P99 at most {MAX_LATE_P99_MS:g} ms"
    late = step.late_p99_ms
    if late is not None:
        outcome = _at_most(late, MAX_LATE_P99_MS)
        void = "; it was too busy, so the step is void" if outcome == "missed" else ""
        return CheckLine(name=GENERATOR, outcome=outcome, figure=f"{number(late)} ms late", rest=limit + void)
    longest = step.late_max_ms
    if longest is not None and longest <= MAX_LATE_P99_MS:  # then no percentile is above it
        return CheckLine(name=GENERATOR, outcome="met", figure=f"never more than {number(longest)} ms late", rest=limit)
    figure = "too few pictures" if longest is None else f"once {number(longest)} ms late, too few pictures for a P99"
    return CheckLine(name=GENERATOR, outcome="unknown", figure=figure, rest=f"{limit}; measure longer")


def _fps(step: CamerasStep, record: CamerasRecord) -> CheckLine:
    rates = sorted((row.inferred / step.window_s, row.camera) for row in step.rows)
    wanted = record.wanted_fps * record.limits["min_fps_percent"] / 100
    slowest, camera = rates[0]
    return CheckLine(
        name="fps of each camera",
        outcome="met" if slowest >= wanted else "missed",
        figure=f"{number(slowest)} of {number(record.wanted_fps)}",
        rest=f"{camera}, the slowest; at least {number(wanted)}",
    )


def _spread(step: CamerasStep) -> list[CheckLine]:
    """How many cameras each of several GPUs has; no line for one GPU or none."""
    counts = Counter(row.gpu for row in step.rows if row.gpu is not None)
    if len(counts) < 2:
        return []
    pooled = sum(row.decode == "pool" for row in step.rows)
    by_cpu = sum(row.decode != "gpu" for row in step.rows) - pooled
    shared = f"{pooled} share sessions" if pooled else ""
    return [
        CheckLine(
            name="cameras of each GPU",
            outcome="met" if max(counts.values()) - min(counts.values()) <= 1 else "missed",
            figure=", ".join(f"GPU {gpu}: {count}" for gpu, count in sorted(counts.items())),
            rest="; ".join(filter(None, [f"the CPU decodes {by_cpu} of them" if by_cpu else "", shared]))
            or "each decodes its own",
        )
    ]


def _latencies(step: CamerasStep, limits: dict[str, float]) -> list[CheckLine]:
    values = np.array([latency for row in step.rows for latency in row.latencies_ns], dtype=np.int64)
    mean_ms = float(values.mean()) / 1e6 if len(values) else None
    told = [row for row in step.rows if row.latencies_ns]
    means = sorted((sum(row.latencies_ns) / len(row.latencies_ns) / 1e6, row.camera) for row in told)
    worst = f"; {means[-1][1]}, the slowest, has {number(means[-1][0])}" if len(means) > 1 else ""
    by_arrival = sum(row.clock == "arrival" for row in told)
    clock = f"; from arrival of {by_arrival} cameras, whose clocks tell nothing" if by_arrival else "; from capture"
    lines = [_latency("mean latency", mean_ms, limits["mean_ms"], clock + worst, "no frame was inferred")]
    for name, share, key in (("P95 latency", 0.95, "p95_ms"), ("P99 latency", 0.99, "p99_ms")):
        value = carried_percentile(values, share)
        missing = f"{missing_samples(len(values), share)} frames more are needed, measure longer"
        lines.append(_latency(name, None if value is None else value / 1e6, limits[key], "", missing))
    return lines


def _latency(name: str, value_ms: float | None, limit_ms: float, more: str, missing: str) -> CheckLine:
    return CheckLine(
        name=name,
        outcome=_at_most(value_ms, limit_ms),
        figure=missing if value_ms is None else f"{number(value_ms)} ms",
        rest=f"at most {number(limit_ms)} ms{more}",
    )


def _drops(step: CamerasStep, limits: dict[str, float]) -> CheckLine:
    ended = sum(row.inferred + row.dropped_total for row in step.rows)
    dropped: dict[str, int] = {}
    for row in step.rows:
        for cause, count in row.dropped.items():
            dropped[cause] = dropped.get(cause, 0) + count
    share = 100 * sum(dropped.values()) / ended if ended else None
    causes = ", ".join(f"{cause} {count}" for cause, count in sorted(dropped.items(), key=lambda item: -item[1]))
    return CheckLine(
        name="drops",
        outcome=_at_most(share, limits["max_drop_percent"]),
        figure="no frame was due" if share is None else f"{sum(dropped.values())} of {ended} frames, {share:.2f} %",
        rest="; ".join(filter(None, [f"at most {limits['max_drop_percent']:g} %", causes])),
    )


def _cpu(step: CamerasStep, record: CamerasRecord) -> CheckLine:
    cores = record.environment["cpu_cores"]
    ours = sum(used for part, used in step.cores.items() if part != GENERATOR)
    limit = record.limits["max_cpu_percent"]
    parts = ", ".join(f"{part} {used:.2f}" for part, used in step.cores.items())
    others = f", other programs {step.other_cores:.2f}" if step.other_cores is not None else ""
    unseen = "" if "server" in step.cores else "; the server's own use is not seen from here"
    return CheckLine(
        name="CPU",
        outcome=_at_most(100 * ours / cores, limit),
        figure=f"{ours:.2f} of {cores} cores, {100 * ours / cores:.0f} %",
        rest=f"at most {limit:g} %; {parts}{others}{unseen}",
    )


def _decode(step: CamerasStep, record: CamerasRecord) -> list[CheckLine]:
    """How many cameras were decoded which way; a limit where the GPU was asked for all. Older records do not tell."""
    found, limit = step.decoded, record.limits.get(MIN_GPU_DECODE)
    if not found:
        return []
    share = 100 * found.get("gpu", 0) / len(step.rows)
    outcome: Outcome = "met" if limit is None or share >= limit else "missed"
    sessions = f"the GPU opened {step.session_limit} sessions and no more" if step.session_limit is not None else ""
    wanted = f"at least {limit:g} % by sessions of a GPU" if limit is not None else ""
    rest = "; ".join(filter(None, [wanted, sessions]))
    return [CheckLine(name="decode", outcome=outcome, figure=decoded_words(found), rest=rest)]


def decoded_words(found: dict[str, int]) -> str:
    """`280 by a GPU, 12 by the CPU, 8 by a GPU's pool for keyframes`."""
    return ", ".join(f"{found[way]} {words}" for way, words in WAYS.items() if way in found)


def _gpu(step: CamerasStep, record: CamerasRecord) -> list[CheckLine]:
    """Use and memory of the GPU; nothing to check where there is none."""
    lines = []
    totals = [gpu["memory_mib"] * 2**20 for gpu in record.environment["gpus"]]
    for gpu in step.gpus:
        use, limit = gpu.utilisation_mean, record.limits["max_gpu_percent"]
        figure = "not told by the driver" if use is None else f"{use:.0f} %"
        name = f"GPU {gpu.index}"
        lines.append(CheckLine(name=name, outcome=_at_most(use, limit), figure=figure, rest=f"at most {limit:g} %"))
        if (decoder := gpu.decoder_mean) is not None:
            name = f"GPU {gpu.index} decoder"
            rest = f"at most {limit:g} %"
            lines.append(CheckLine(name=name, outcome=_at_most(decoder, limit), figure=f"{decoder:.0f} %", rest=rest))
        held, limit = gpu.memory_bytes, record.limits["max_gpu_memory_percent"]
        share = None if held is None or gpu.index >= len(totals) else 100 * held / totals[gpu.index]
        figure = "not told by the driver" if held is None else f"{held / 2**20:.0f} MiB"
        name = f"GPU {gpu.index} memory"
        lines.append(CheckLine(name=name, outcome=_at_most(share, limit), figure=figure, rest=f"at most {limit:g} %"))
    return lines


def _memory(step: CamerasStep, record: CamerasRecord) -> CheckLine:
    held = sum(size for part, size in step.memory_bytes.items() if part != GENERATOR)
    total, limit = record.environment["memory_gib"] * 2**30, record.limits["max_memory_percent"]
    parts = ", ".join(f"{part} {size / 2**20:.0f}" for part, size in step.memory_bytes.items())
    return CheckLine(
        name="memory",
        outcome=_at_most(100 * held / total, limit),
        figure=f"{held / 2**20:.0f} MiB, {100 * held / total:.1f} %",
        rest=f"at most {limit:g} %; MiB: {parts}",
    )


def _accuracy(record: CamerasRecord) -> CheckLine:
    found, limit = record.accuracy, record.limits.get("min_map")
    score = found.get("map50_95")
    if score is None:
        rest = "export with `--data`, the gate measures it"
        return CheckLine(name="accuracy", outcome="unknown", figure="never measured", rest=rest)
    holds = found.get("passed") is not False and (limit is None or score >= limit)
    floor = "the gate's floor holds" if holds else "below the gate's floor"
    wanted = f"at least {limit:g}" if limit is not None else floor
    outcome: Outcome = "met" if holds else "missed"
    rest = f"{wanted}; measured at the export, not here"
    return CheckLine(name="accuracy", outcome=outcome, figure=f"mAP50-95 {score:.3f}", rest=rest)
