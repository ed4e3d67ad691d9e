"""Time for a whole run, handed out part by part: what one part leaves goes to those after it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from photofinish.percentiles import min_samples
from photofinish.perf.load.settling import LEAD_IN_S, STRETCH_S
from photofinish.perf.record.record import MIN_ROUNDS, Load, Section

WEIGHTS: Mapping[str, float] = {"comparison": 5, "rivals": 4, "paced": 1, "ladder": 3, "sweep": 4}
"""The headline first: in a quick run it ends as soon as it can say its P95."""
FILLING_WEIGHTS: Mapping[str, float] = {"comparison": 4, "rivals": 5, "paced": 1.2, "ladder": 7, "sweep": 3}
"""Where all the time is used: a dozen arms are known later than two."""
TARGET_ROUNDS = 10
"""Blocks become shorter, down to MIN_BLOCK_S, until so many rounds fit."""
FILLING_ROUNDS: Mapping[str, int] = {"rivals": 40, "ladder": 40}
"""Likewise where all the time is used. On one H200 plain PyTorch's P50 was 7.5 ms in some blocks and 11 in others,
however long they were (results/h200_yolo26n_coco.json.gz): more rounds make it known, longer blocks do not."""
MIN_BLOCK_S = 0.1
MAX_ROUNDS = 1000
P95_REQUESTS = min_samples(0.95)
CELL_OVERHEAD_S = 1.5
"""What a row of the sweep takes beside its requests: connections, and perf_analyzer's own start."""
SPARE = 1.15
"""A rate that was seen just now may not hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Until:
    """When a comparison ends: with `requests` of every arm where that is given, and in any case in time.

    deadline_s: by `clock`. A round that would end after it is not begun. is_known: asked beside `requests`, whether
    the section's gains are known well enough; it looks at how wide their intervals are, never at where they lie.
    """

    deadline_s: float
    requests: int | None = None
    is_known: Callable[[Section], bool] = lambda section: True
    clock: Callable[[], float] = time.monotonic

    def is_over(self) -> bool:
        """Whether the time is up."""
        return self.clock() > self.deadline_s

    def reason(self, section: Section, rounds: int, round_s: float) -> str:
        """`enough`, `time`, or "" while it goes on. round_s: how long a round takes."""
        if self.requests is not None and rounds >= MIN_ROUNDS and rounds % 2 == 0:
            counts = [
                sum(block.samples.completed_count for block in section.blocks_of(arm.key)) for arm in section.arms
            ]
            if min(counts) >= self.requests and self.is_known(section):
                return "enough"
        return "time" if self.clock() + round_s > self.deadline_s else ""


class Budget:
    """So many seconds for a run whose parts come in this order; an entry of WEIGHTS each.

    fills: goes on until the time is used up, else what the plan says is the most. stops_early: a part ends when every
    arm carries a P95 and its gains are known, by `is_known`. began_s: when it began by the clock.
    """

    def __init__(
        self,
        total_s: float,
        parts: Sequence[str],
        *,
        fills: bool = False,
        stops_early: bool = False,
        is_known: Callable[[Section], bool] = lambda section: True,
        began_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.fills = fills
        self._weights = FILLING_WEIGHTS if fills else WEIGHTS
        self._target_rounds = FILLING_ROUNDS if fills else {}
        self.stops_early = stops_early
        self._is_known = is_known
        self.clock = clock
        self._parts = list(parts)
        self._deadline_s = (clock() if began_s is None else began_s) + total_s

    def deadline_of(self, part: str) -> float:
        """Until when this part may take, by the clock. Parts before it that were left out leave their time to all."""
        while self._parts and self._parts[0] != part:
            self._parts.pop(0)
        weights = [self._weights[item] for item in self._parts] or [1.0]
        now_s = self.clock()
        self._parts = self._parts[1:]
        return now_s + max(0.0, self._deadline_s - now_s) * weights[0] / sum(weights)

    def timed(self, part: str, load: Load, arms: int) -> tuple[Load, Until]:
        """The load with blocks that fit, and when it ends."""
        deadline_s = self.deadline_of(part)
        left_s = deadline_s - self.clock() - arms * 3 * STRETCH_S
        lead_in_s = LEAD_IN_S if load.mode == "closed" else 0.0
        fitting_s = left_s / (arms * self._target_rounds.get(part, TARGET_ROUNDS)) - lead_in_s
        shortest_s = max(MIN_BLOCK_S, 1 / load.rate_rps if load.rate_rps else 0.0)
        rounds = MAX_ROUNDS if self.fills or self.stops_early else load.rounds
        timed = replace(load, block_s=max(shortest_s, min(load.block_s, fitting_s)), rounds=rounds)
        requests = P95_REQUESTS if self.stops_early else None
        return timed, Until(deadline_s=deadline_s, requests=requests, is_known=self._is_known, clock=self.clock)

    def sweep_time(self, runs_perf_analyzer: bool, plan_s: float) -> SweepTime:
        """The sweep's part. plan_s: what a row takes where time is no matter."""
        generators = 2 if runs_perf_analyzer else 1
        return SweepTime(self.deadline_of("sweep"), generators=generators, budget=self, plan_s=plan_s)


class SweepTime:
    """How long a row of the sweep takes, so that all rows end in time.

    Numbers in flight are left out before percentiles are: a row first gets the requests that its P95 needs.
    generators: how many load generators run each row.
    """

    def __init__(self, deadline_s: float, *, generators: int, budget: Budget, plan_s: float) -> None:
        self._deadline_s = deadline_s
        self._generators = generators
        self._fills = budget.fills
        self._stops_early = budget.stops_early
        self._plan_s = plan_s
        self._clock = budget.clock

    def left_s(self) -> float:
        """What is left."""
        return max(0.0, self._deadline_s - self._clock())

    def has_room_for(self, rates_rps: Sequence[float]) -> bool:
        """Whether rows with these rates of requests a second can all get what a P95 needs."""
        return sum(self._whole_s(self.needed_s(rate)) for rate in rates_rps) <= self.left_s()

    def row_s(self, rate_rps: float, *, rows_of_level: int, rows: int) -> float:
        """How long one generator may run the next row. rows: still to come; rows_of_level: of its number in flight."""
        most_s = self._share_s(rows_of_level)
        needed_s = self.needed_s(rate_rps)
        if self._stops_early:
            return min(needed_s, most_s)
        wanted_s = self._share_s(rows) if self._fills else min(self._plan_s, self._share_s(rows))
        return min(max(wanted_s, needed_s), most_s)

    @staticmethod
    def needed_s(rate_rps: float) -> float:
        """What a P95 needs at that rate."""
        return SPARE * P95_REQUESTS / rate_rps if rate_rps else math.inf

    def _share_s(self, rows: int) -> float:
        return max(0.3, self.left_s() / max(rows, 1) / self._generators - CELL_OVERHEAD_S / 2)

    def _whole_s(self, seconds: float) -> float:
        return self._generators * seconds + CELL_OVERHEAD_S
