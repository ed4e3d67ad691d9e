"""When more is due than the machine can do: less is served, of less important cameras first, in a stated order."""

from __future__ import annotations

from collections.abc import Iterable

from photofinish.client.cameras.schedule.overload import SLOT_S, SLOTS, OverloadGauge
from photofinish.client.cameras.values.status import DegradeStep

STEPS: tuple[DegradeStep, ...] = ("full", "halved", "keyframes", "paused")
CALM_S = 15.0
"""After so long without overload one step is taken back."""
LONGEST_CALM_S = 240.0
HELPS = "fewer frames_per_s, a faster --variant or fewer cameras help"
SOON_S = 2.0 * SLOTS * SLOT_S
"""Overload so soon after a step was taken back says that it was too much: the next one is waited for longer."""


class Degrader:
    """Decides about once a second. level counts the steps taken: all of the lowest priority's, then the next one's.

    The highest priority is never paused: it falls to keyframes and stays there.
    """

    def __init__(self) -> None:
        self.level = 0
        self._classes: tuple[int, ...] = ()
        self._gauge = OverloadGauge()
        self._calm_since_s: float | None = None
        self._calm_s = CALM_S
        self._raised_s = float("-inf")

    def set_priorities(self, priorities: Iterable[int]) -> None:
        """The priorities of the cameras that there are now."""
        self._classes = tuple(sorted(set(priorities)))
        self.level = min(self.level, self._limit)

    def step_of(self, priority: int) -> DegradeStep:
        """What is served of the cameras of a priority."""
        if priority not in self._classes:
            return "full"
        taken = self.level - 3 * self._classes.index(priority)
        return STEPS[max(0, min(taken, 3))]

    def note(self, due: int, lost: int, now_s: float) -> str:
        """Frames that became due, and those lost because the machine was too slow; what changes now, "" for nothing."""
        if self._calm_since_s is None:
            self._calm_since_s = now_s
        load = self._gauge.note(due, lost, now_s)
        if load is None:
            return ""
        calm_s = now_s - self._calm_since_s
        if load != "calm":
            self._calm_since_s = now_s
        if load == "overloaded" and self.level < self._limit:
            share = self._gauge.lost_share
            self._gauge.clear()
            if now_s - self._raised_s <= SOON_S:
                self._calm_s = min(self._calm_s * 2, LONGEST_CALM_S)
            self.level += 1
            return f"{share:.1%} of the due frames came too late for this machine: {self.sentence()}; {HELPS}"
        if load == "calm" and self.level and calm_s >= self._calm_s:
            self._gauge.clear()
            self.level -= 1
            self._calm_since_s = self._raised_s = now_s
            return f"the machine keeps up again: {self.sentence()}"
        if not self.level and calm_s >= LONGEST_CALM_S:
            self._calm_s = CALM_S
        return ""

    def sentence(self) -> str:
        """What is left out now; "" when nothing is."""
        words = {"halved": "at half their rate", "keyframes": "by keyframes only", "paused": "paused"}
        parts = [
            f"cameras of priority {priority} {words[step]}"
            for priority in self._classes
            if (step := self.step_of(priority)) != "full"
        ]
        return "; ".join(parts) or "all cameras at their full rate"

    @property
    def _limit(self) -> int:
        return max(3 * len(self._classes) - 1, 0)
