"""What a section's raw samples amount to, per arm, and each arm against the first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from perf.observation import Observation
from perf.record import Arm, Block, Section
from perf.statistics import Interval, Statistic, carried_percentile, nearest_rank, ratio_interval

PERCENTILES: Mapping[str, float] = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
STATISTICS = ("frames_per_s", "mean", *PERCENTILES)
"""Keys of the figures that are compared between arms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmSummary:
    """One arm's figures over all its blocks. Latencies in nanoseconds; None where the sample cannot carry it.

    gains: this arm against the first, above 1 is better, by statistic; an interval where there were rounds to draw it
    from, else its ends equal the estimate.
    """

    arm: Arm
    requests: int
    errors: int
    frames_per_s: float
    latency: dict[str, float | None]
    gpu_memory_bytes: int | None
    gpu_memory_method: str
    queue_us: float | None
    compute_us: float | None
    server_us: float | None
    mean_batch: float | None
    client_cpu_cores: float | None
    server_cpu_cores: float | None
    gpu_utilisation: float | None
    gpu_power_w: float | None
    gains: dict[str, Interval | None]

    @property
    def outside_server_us(self) -> float | None:
        """Mean latency less the server's own mean: network, marshalling, client."""
        mean_ns = self.latency["mean"]
        return None if mean_ns is None or self.server_us is None else mean_ns / 1000 - self.server_us


def summaries_from_section(section: Section) -> tuple[ArmSummary, ...]:
    """One summary per arm that has blocks, in the section's order."""
    first = section.arms[0].key if section.arms else ""
    return tuple(_summary(section, arm, section.blocks_of(first)) for arm in section.arms if section.blocks_of(arm.key))


def latency_ns_of(blocks: tuple[Block, ...]) -> npt.NDArray[np.int64]:
    """All latencies of these blocks together."""
    return np.concatenate([block.samples.latency_ns for block in blocks]) if blocks else np.empty(0, np.int64)


def _summary(section: Section, arm: Arm, baseline: tuple[Block, ...]) -> ArmSummary:
    blocks = section.blocks_of(arm.key)
    window_ns = sum(block.samples.window_ns for block in blocks)
    frames = sum(block.samples.completed_count * block.samples.frames_per_request for block in blocks)
    memory, method = _memory([block.observed for block in blocks])
    seen = [block.observed for block in blocks]
    triton = [item.triton for item in seen if item.triton and item.triton.requests]
    gpus = [gpu for item in seen for gpu in item.gpus]
    has_samples = any(block.samples.request_count for block in blocks)
    return ArmSummary(
        arm=arm,
        requests=sum(block.samples.request_count for block in blocks),
        errors=sum(len(block.samples.failed) for block in blocks),
        frames_per_s=frames * 1e9 / window_ns if window_ns else 0.0,
        latency=_latency(latency_ns_of(blocks)) if has_samples else _reported_latency(blocks),
        gpu_memory_bytes=memory,
        gpu_memory_method=method,
        queue_us=_mean([item.queue_us for item in triton]),
        compute_us=_mean([item.compute_us for item in triton]),
        server_us=_mean([item.request_us for item in triton]),
        mean_batch=_mean([item.mean_batch for item in triton]),
        client_cpu_cores=_mean([item.client_cpu_cores for item in seen if item.client_cpu_cores is not None]),
        server_cpu_cores=_mean([item.server_cpu_cores for item in seen if item.server_cpu_cores is not None]),
        gpu_utilisation=_mean([gpu.utilisation_mean for gpu in gpus if gpu.utilisation_mean is not None]),
        gpu_power_w=_mean([gpu.power_mean_w for gpu in gpus if gpu.power_mean_w is not None]),
        gains=_gains(baseline, blocks) if arm.key != section.arms[0].key else {},
    )


def _latency(values: npt.NDArray[np.int64]) -> dict[str, float | None]:
    figures: dict[str, float | None] = {"mean": float(values.mean()) if len(values) else None}
    return figures | {key: carried_percentile(values, share) for key, share in PERCENTILES.items()}


def _reported_latency(blocks: tuple[Block, ...]) -> dict[str, float | None]:
    """perf_analyzer's own figures, which are there where its request times are not."""
    columns = {"mean": "Avg latency", **{key: f"{key} latency" for key in PERCENTILES}}
    reported = blocks[0].reported
    return {key: reported[column] * 1000 if column in reported else None for key, column in columns.items()}


def _gains(baseline: tuple[Block, ...], blocks: tuple[Block, ...]) -> dict[str, Interval | None]:
    rounds = sorted({block.round for block in baseline} & {block.round for block in blocks})
    before = [block for block in baseline if block.round in rounds]
    after = [block for block in blocks if block.round in rounds]
    gains: dict[str, Interval | None] = {}
    if not rounds or not all(block.samples.completed_count for block in (*before, *after)):
        return dict.fromkeys(STATISTICS)
    for key, statistic in latency_statistics().items():
        total = min(sum(block.samples.completed_count for block in side) for side in (before, after))
        carried = key not in PERCENTILES or carried_percentile(np.arange(total), PERCENTILES[key]) is not None
        values = [[block.samples.latency_ns for block in side] for side in (before, after)]
        gains[key] = _interval(values[0], values[1], statistic) if carried else None
    seconds_per_frame = [
        [np.array([block.samples.window_ns / _frames(block), _frames(block)]) for block in side]
        for side in (before, after)
    ]
    gains["frames_per_s"] = _interval(seconds_per_frame[0], seconds_per_frame[1], _pooled_time_per_frame)
    return gains


def latency_statistics() -> dict[str, Statistic]:
    """The statistics of latency that are compared, by key."""
    percentiles = {key: partial(nearest_rank, share=share) for key, share in PERCENTILES.items()}
    return {"mean": lambda values: float(values.mean()), **percentiles}


def _interval(
    before: list[npt.NDArray[np.int64]] | list[npt.NDArray[np.float64]],
    after: list[npt.NDArray[np.int64]] | list[npt.NDArray[np.float64]],
    statistic: Statistic,
) -> Interval:
    if len(before) < 2:
        ratio = statistic(before[0]) / statistic(after[0])
        return Interval(estimate=ratio, low=ratio, high=ratio)
    return ratio_interval(before, after, statistic)


def _frames(block: Block) -> int:
    return block.samples.completed_count * block.samples.frames_per_request


def _pooled_time_per_frame(pairs: npt.NDArray[np.int64] | npt.NDArray[np.float64]) -> float:
    """Time per frame over several blocks, each given as (time per frame, frames)."""
    times, frames = pairs[0::2], pairs[1::2]
    return float((times * frames).sum() / frames.sum())


def _memory(observations: list[Observation]) -> tuple[int | None, str]:
    gpus = [gpu for item in observations for gpu in item.gpus if gpu.memory_bytes is not None]
    if not gpus:
        return None, "no GPU"
    by_index: dict[int, int] = {}
    for gpu in gpus:
        by_index[gpu.index] = max(by_index.get(gpu.index, 0), gpu.memory_bytes or 0)
    return sum(by_index.values()), gpus[0].memory_method


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
