"""What a section's raw samples amount to, per arm, and each arm against the first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from photofinish.percentiles import Values, carried_percentile, missing_samples
from photofinish.perf.record.observation import Observation, joined_means
from photofinish.perf.record.record import Arm, Block, Section
from photofinish.perf.statistics import (
    BlockStatistic,
    Interval,
    ratio_interval,
    resampled_mean,
    resampled_nearest_rank,
)

PERCENTILES: Mapping[str, float] = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
FIGURES = ("frames_per_s", "mean", *PERCENTILES)
"""In which an arm is set against the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmSummary:
    """One arm's figures over all its blocks. Latencies in nanoseconds; None where the sample cannot carry it.

    is_first: whether this is the arm the others are compared with. gains: against that arm, by FIGURES; above 1 is
    better, None where either side cannot carry the figure. The first arm has none.
    """

    arm: Arm
    is_first: bool
    requests: int
    errors: int
    frames_per_s: float
    latency: dict[str, float | None]
    gpu_memory_bytes: int | None
    queue_us: float | None
    compute_us: float | None
    server_us: float | None
    mean_batch: float | None
    client_cpu_cores: float | None
    server_cpu_cores: float | None
    gpu_utilisation: float | None
    gpu_power_w: float | None
    blocks: tuple[Block, ...]
    gains: Mapping[str, Interval | None]

    @property
    def images_per_joule(self) -> float | None:
        """Frames for each joule that the GPUs took meanwhile, idle power included; None where no power is known."""
        power = [sum(known) for block in self.blocks if (known := _powers_w(block.observed))]
        return self.frames_per_s / (sum(power) / len(power)) if power and self.frames_per_s and sum(power) else None

    def gain(self, key: str) -> Interval | None:
        """This arm against the first in `frames_per_s`, `mean`, `p50`, `p95` or `p99`.

        An interval where there were rounds to draw it from, else its ends equal the estimate.
        """
        return self.gains.get(key)

    @property
    def client_cpu_ms(self) -> float | None:
        """Processor time of the client for one frame, all its threads together."""
        if self.client_cpu_cores is None or not self.frames_per_s:
            return None
        return 1000 * self.client_cpu_cores / self.frames_per_s

    @property
    def outside_server_us(self) -> float | None:
        """Mean latency less the server's own mean: network, marshalling, client.

        None where it is negative: the server counts the lead-in too, whose first requests are slower on a busy machine.
        """
        mean_ns = self.latency["mean"]
        if mean_ns is None or self.server_us is None or self.server_us > mean_ns / 1000:
            return None
        return mean_ns / 1000 - self.server_us


def summaries_from_section(section: Section) -> tuple[ArmSummary, ...]:
    """One summary per arm that has blocks, in the section's order."""
    if not section.arms:
        return ()
    baseline = section.blocks_of(section.arms[0].key)
    return tuple(_summary(section, arm, baseline) for arm in section.arms if section.blocks_of(arm.key))


def latency_ns_of(blocks: tuple[Block, ...]) -> npt.NDArray[np.int64]:
    """All latencies of these blocks together."""
    return np.concatenate([block.samples.latency_ns for block in blocks]) if blocks else np.empty(0, np.int64)


def _summary(section: Section, arm: Arm, baseline: tuple[Block, ...]) -> ArmSummary:
    blocks = section.blocks_of(arm.key)
    window_ns = sum(block.samples.window_ns for block in blocks)
    frames = sum(block.samples.completed_count * block.samples.frames_per_request for block in blocks)
    seen = [block.observed for block in blocks]
    triton = joined_means([item.triton for item in seen])
    gpus = [gpu for item in seen for gpu in item.gpus]
    is_first = arm.key == section.arms[0].key
    has_samples = any(block.samples.request_count for block in blocks)
    return ArmSummary(
        arm=arm,
        is_first=is_first,
        requests=sum(block.samples.request_count for block in blocks),
        errors=sum(len(block.samples.failed) for block in blocks),
        frames_per_s=frames * 1e9 / window_ns if window_ns else blocks[0].reported.get("Inferences/Second", 0.0),
        latency=_latency(latency_ns_of(blocks)) if has_samples else _reported_latency(blocks),
        gpu_memory_bytes=_memory(seen),
        queue_us=triton.queue_us if triton else None,
        compute_us=triton.compute_us if triton else None,
        server_us=triton.request_us if triton else None,
        mean_batch=triton.mean_batch if triton else None,
        client_cpu_cores=_mean([item.client_cpu_cores for item in seen if item.client_cpu_cores is not None]),
        server_cpu_cores=_mean([item.server_cpu_cores for item in seen if item.server_cpu_cores is not None]),
        gpu_utilisation=_mean([gpu.utilisation_mean for gpu in gpus if gpu.utilisation_mean is not None]),
        gpu_power_w=_mean([gpu.power_mean_w for gpu in gpus if gpu.power_mean_w is not None]),
        blocks=blocks,
        gains={} if is_first else {key: gain_between(baseline, blocks, key) for key in FIGURES},
    )


def _latency(values: npt.NDArray[np.int64]) -> dict[str, float | None]:
    figures: dict[str, float | None] = {"mean": float(values.mean()) if len(values) else None}
    return figures | {key: carried_percentile(values, share) for key, share in PERCENTILES.items()}


def _reported_latency(blocks: tuple[Block, ...]) -> dict[str, float | None]:
    """perf_analyzer's own figures, which are there where its request times are not."""
    columns = {"mean": "Avg latency", **{key: f"{key} latency" for key in PERCENTILES}}
    reported = blocks[0].reported
    return {key: reported[column] * 1000 if column in reported else None for key, column in columns.items()}


def latency_statistic(key: str) -> BlockStatistic:
    """The statistic of that key over blocks of latencies."""
    return resampled_mean if key == "mean" else partial(resampled_nearest_rank, share=PERCENTILES[key])


def gain_between(baseline: tuple[Block, ...], blocks: tuple[Block, ...], key: str) -> Interval | None:
    """The second blocks against the first in that figure, over the rounds that both have; above 1 is better.

    None where either side cannot carry it.
    """
    rounds = {block.round for block in baseline} & {block.round for block in blocks}
    before = [block for block in baseline if block.round in rounds]
    after = [block for block in blocks if block.round in rounds]
    if not rounds or not all(block.samples.completed_count for block in (*before, *after)):
        return None
    if key == "frames_per_s":
        return _interval(_times_per_frame(before), _times_per_frame(after), resampled_mean)
    fewest = min(sum(block.samples.completed_count for block in side) for side in (before, after))
    if key in PERCENTILES and missing_samples(fewest, PERCENTILES[key]):
        return None
    latencies = [[block.samples.latency_ns for block in side] for side in (before, after)]
    if any(block.min() <= 0 for side in latencies for block in side):  # a clock too coarse for it: no ratio
        return None
    return _interval(latencies[0], latencies[1], latency_statistic(key))


def _times_per_frame(blocks: list[Block]) -> list[npt.NDArray[np.float64]]:
    """For each block its time per frame, as often as it had frames: their mean is time over frames."""
    counts = [block.samples.completed_count * block.samples.frames_per_request for block in blocks]
    return [np.full(count, block.samples.window_ns / count) for block, count in zip(blocks, counts, strict=True)]


def _interval(before: Sequence[Values], after: Sequence[Values], statistic: BlockStatistic) -> Interval:
    if len(before) < 2:
        once = np.ones((1, 1), np.int64)
        ratio = float((statistic(before, once) / statistic(after, once))[0])
        return Interval(estimate=ratio, low=ratio, high=ratio)
    return ratio_interval(before, after, statistic)


def _powers_w(observed: Observation) -> list[float]:
    return [gpu.power_mean_w for gpu in observed.gpus if gpu.power_mean_w is not None]


def _memory(observations: list[Observation]) -> int | None:
    gpus = [gpu for item in observations for gpu in item.gpus if gpu.memory_bytes is not None]
    if not gpus:
        return None
    by_index: dict[int, int] = {}
    for gpu in gpus:
        by_index[gpu.index] = max(by_index.get(gpu.index, 0), gpu.memory_bytes or 0)
    return sum(by_index.values())


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
