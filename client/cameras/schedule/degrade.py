"""When more is due than the machine can do: less is served, of less important cameras first, in a stated order."""

from __future__ import annotations

from collections.abc import Iterable

from photofinish.client.cameras.values.status import DegradeStep

STEPS: tuple[DegradeStep, ...] = ("full", "halved", "keyframes", "paused")
OVERLOAD_SHARE = 0.05
"""Of the due frames of a window; with more of them superseded or too old, there is too much to do."""
WINDOW_S = 5.0
MIN_LOST = 5
"""Fewer in a window are no overload, however few are due."""
BAD_WINDOWS = 2
"""A start, or a model that is loaded again, makes one bad window."""
CALM_S = 15.0
"""After so long without overload one step is taken back."""
LONGEST_CALM_S = 240.0


class Degrader:
    """Decides once a window. level counts the steps taken: all of the lowest priority's, then the next one's.

    The highest priority is never paused: it falls to keyframes and stays there.
    """

    def __init__(self) -> None:
        self.level = 0
        self._classes: tuple[int, ...] = ()
        self._window_began_s: float | None = None
        self._due = self._lost = self._bad_windows = 0
        self._calm_since_s = 0.0
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
        if self._window_began_s is None:
            self._window_began_s = self._calm_since_s = now_s
        self._due += due
        self._lost += lost
        if now_s - self._window_began_s < WINDOW_S:
            return ""
        share = self._lost / self._due if self._due and self._lost >= MIN_LOST else 0.0
        self._window_began_s, self._due, self._lost = now_s, 0, 0
        if share > OVERLOAD_SHARE:
            self._calm_since_s = now_s
            self._bad_windows += 1
            if self._bad_windows < BAD_WINDOWS or self.level == self._limit:
                return ""
            self._bad_windows = 0
            if now_s - self._raised_s <= 3 * WINDOW_S:  # what was taken back was too much: wait longer next time
                self._calm_s = min(self._calm_s * 2, LONGEST_CALM_S)
            self.level += 1
            return f"{share:.1%} of the due frames came too late for this machine: {self.sentence()}"
        self._bad_windows = 0
        if self.level and now_s - self._calm_since_s >= self._calm_s:
            self.level -= 1
            self._calm_since_s = self._raised_s = now_s
            return f"the machine keeps up again: {self.sentence()}"
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
