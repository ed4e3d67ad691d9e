"""What a number of cameras must hold to be carried, and whether a step held it: judged by its worst camera."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from photofinish.percentiles import carried_percentile, min_samples, nearest_rank
from photofinish.perf.cameras.checks import MAX_LATE_P99_MS, decoded_words
from photofinish.perf.record.cameras import CamerasStep, CameraWindow
from photofinish.perf.record.observation import POWER_CAP

ProbeOutcome = Literal["held", "missed", "void"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraGoal:
    """p99_ms: from capture to boxes, of each camera. max_drops: share of each camera's due frames.

    min_gpu_decode: share of the cameras that sessions of a GPU must decode.
    """

    p99_ms: float = 150.0
    max_drops: float = 0.01
    min_gpu_decode: float = 0.0

    def frames_needed(self) -> int:
        """Due frames of a camera after which its P99 can be told although the allowed ones were dropped."""
        return int(np.ceil(min_samples(0.99) / (1 - self.max_drops)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeVerdict:
    """outcome: void where nothing can be said of the machine. reasons: why it did not hold, or why it is void.

    slowest, slowest_p99_ms: the camera with the longest P99; None where no camera has one. dropping, dropped_share:
    the camera that lost the largest share.
    """

    outcome: ProbeOutcome
    reasons: tuple[str, ...] = ()
    slowest: str = ""
    slowest_p99_ms: float | None = None
    dropping: str = ""
    dropped_share: float = 0.0


def verdict_on_step(step: CamerasStep, goal: CameraGoal, *, is_sure: bool, apart: Collection[str] = ()) -> ProbeVerdict:
    """Whether the step held the goal.

    is_sure: a camera's P99 counts only where it has frames enough for it, as a confirmation must; without it the
    nearest rank of what there is decides, which is enough to go on searching. apart: cameras that are disturbed on
    purpose, and do not count.
    """
    rows = [row for row in step.rows if row.camera not in apart]
    tails = [(p99, row.camera) for row in rows if (p99 := _p99_ms(row, is_sure=is_sure)) is not None]
    drops = [(_dropped_share(row), row.camera) for row in rows]
    slowest_ms, slowest = max(tails, default=(None, ""))
    share, dropping = max(drops, default=(0.0, ""))
    void, missed = [*void_reasons(step), *_clock_reasons(rows)], []
    if not step.is_warm:
        missed.append(f"not every camera was served within {step.warm_up_s:.0f} s of the start")
    if share > goal.max_drops:
        missed.append(f"{dropping} lost {100 * share:.1f} % of its frames (at most {100 * goal.max_drops:g} %)")
    if slowest_ms is not None and slowest_ms > goal.p99_ms:
        missed.append(f"{slowest} has a P99 of {slowest_ms:.0f} ms (at most {goal.p99_ms:g} ms)")
    if len(tails) < len(rows) and not missed:
        missed.append(f"{len(rows) - len(tails)} cameras have too few frames for a P99")
    if sum(row.decode == "gpu" for row in rows) < goal.min_gpu_decode * len(rows):
        missed.append(f"{decoded_words(step.decoded) or 'nothing is known of decoding'}: not all by sessions of a GPU")
    if step.restarts:
        missed.append(f"{step.restarts} processes of the cell ended by themselves")
    return ProbeVerdict(
        outcome="void" if void else "missed" if missed else "held",
        reasons=tuple(void or missed),
        slowest=slowest,
        slowest_p99_ms=slowest_ms,
        dropping=dropping,
        dropped_share=share,
    )


def void_reasons(step: CamerasStep) -> list[str]:
    """Why the step says nothing of the machine: a late generator, packets lost on loopback, clocks held back."""
    reasons = []
    late, longest = step.late_p99_ms, step.late_max_ms
    if late is not None and late > MAX_LATE_P99_MS:
        reasons.append(f"generator: sent {late:.1f} ms late (P99, at most {MAX_LATE_P99_MS:g} ms)")
    elif late is None and longest is None:
        reasons.append("generator: no picture was sent")
    elif late is None and longest is not None and longest > MAX_LATE_P99_MS:
        reasons.append(f"generator: once {longest:.1f} ms late, and too few pictures for a P99; raise --seconds")
    if step.lost_packets:
        reasons.append(f"loopback: {step.lost_packets} packets were lost on this machine itself")
    for gpu in step.gpus:
        if held := [reason for reason in gpu.throttle_reasons if reason != POWER_CAP]:
            reasons.append(f"GPU {gpu.index}: its clocks were held back ({', '.join(held)})")
    return reasons


def _clock_reasons(rows: Sequence[CameraWindow]) -> list[str]:
    """The goal is from capture; from arrival on a frame has spent less time, so the step would flatter the machine."""
    count = sum(row.clock == "arrival" and bool(row.latencies_ns) for row in rows)
    return [f"clocks: {count} cameras told no time of capture, so their latency is from arrival"] if count else []


def _p99_ms(row: CameraWindow, *, is_sure: bool) -> float | None:
    values = np.array(row.latencies_ns, dtype=np.int64)
    if is_sure:
        found = carried_percentile(values, 0.99)
    else:
        found = nearest_rank(values, 0.99) if len(values) else None
    return None if found is None else found / 1e6


def _dropped_share(row: CameraWindow) -> float:
    ended = row.inferred + row.dropped_total
    return row.dropped_total / ended if ended else 1.0
