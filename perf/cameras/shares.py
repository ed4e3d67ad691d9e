"""What each GPU of several had of a step: how many cameras, how they fared, and what its own wall is."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from photofinish.perf.cameras.goal import CameraGoal, ProbeVerdict, verdict_on_step
from photofinish.perf.cameras.walls import Wall, wall_of_step
from photofinish.perf.formatting import number
from photofinish.perf.record.cameras import CamerasStep


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuShare:
    """One GPU's part. by_cpu, pooled: how many of its cameras the CPU decoded, and how many shared sessions.

    wall: None where its cameras held the goal.
    """

    gpu: int
    cameras: int
    by_cpu: int
    pooled: int
    verdict: ProbeVerdict
    wall: Wall | None

    @property
    def on_gpu(self) -> int:
        """How many of its cameras its own sessions decoded."""
        return self.cameras - self.by_cpu - self.pooled

    @property
    def figure(self) -> str:
        """`143 cameras`, with how many of them had no session."""
        counted = f"{self.cameras} camera{'' if self.cameras == 1 else 's'}"
        by_cpu = f"{self.by_cpu} of them decoded by the CPU" if self.by_cpu else ""
        pooled = f"{self.pooled} of them by keyframes" if self.pooled else ""
        return ", ".join(filter(None, [counted, by_cpu, pooled]))

    def words(self) -> str:
        """How its cameras fared, and its wall."""
        verdict = self.verdict
        parts = [f"{verdict.slowest}, the slowest, has a P99 of {number(verdict.slowest_p99_ms)} ms"]
        if not verdict.slowest:
            parts = ["none of its cameras has a P99"]
        dropped = f"{verdict.dropping} lost most, {100 * verdict.dropped_share:.2f} %"
        parts.append(dropped if verdict.dropped_share else "no drop")
        if self.wall is not None:
            parts.append(f"wall: {self.wall.name}, {self.wall.why}")
        return "; ".join(parts)


def step_of_gpu(step: CamerasStep, gpu: int) -> CamerasStep:
    """The step as one GPU saw it: its cameras, its own figures, and the host's, which all share."""
    rows = tuple(row for row in step.rows if row.gpu == gpu)
    return replace(
        step,
        cameras=len(rows),
        rows=rows,
        gpus=tuple(item for item in step.gpus if item.index == gpu),
        session_limit=step.session_limits.get(str(gpu)),
    )


def shares_of_step(
    step: CamerasStep, goal: CameraGoal, cpu_cores: int, *, is_sure: bool, apart: Collection[str] = ()
) -> tuple[GpuShare, ...]:
    """A share for each GPU; () where one GPU, or none, had all of the cameras."""
    numbers = step.gpu_numbers
    if len(numbers) < 2:
        return ()
    shares = []
    for gpu in numbers:
        part = step_of_gpu(step, gpu)
        verdict = verdict_on_step(part, goal, is_sure=is_sure, apart=apart)
        is_late = verdict.outcome == "void" and any(reason.startswith("generator") for reason in verdict.reasons)
        wall = None if verdict.outcome == "held" else wall_of_step(part, cpu_cores, is_void_by_generator=is_late)
        pooled = sum(row.decode == "pool" for row in part.rows)
        by_cpu = sum(row.decode != "gpu" for row in part.rows) - pooled
        share = GpuShare(gpu=gpu, cameras=part.cameras, by_cpu=by_cpu, pooled=pooled, verdict=verdict, wall=wall)
        shares.append(share)
    return tuple(shares)
