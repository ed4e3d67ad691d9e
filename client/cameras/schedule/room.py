"""How many cameras without a session of a GPU the CPU decodes: all of them, until their frames come too late."""

from __future__ import annotations

from collections.abc import Callable

from photofinish.client.cameras.schedule.overload import SLOT_S, SLOTS, OverloadGauge

CALM_S = 30.0
"""After so long without overload the CPU is given some more, if it lost next to nothing of late."""
SPARE_SHARE = 0.01
"""More than this is next to overload: a CPU that loses some has nothing to spare."""
LONGEST_CALM_S = 480.0
SOON_S = 2.0 * SLOTS * SLOT_S
"""Overload so soon after that says that it was too much: the next time is waited for longer."""
LIGHTER = 0.9
"""With less than this of the load that was too much, it may be enough: a measured rate varies by a few percent."""
GROWTH = 8
"""One camera more for each so many that the CPU has of them."""


class CpuRoom:
    """Judged by the account: frames of cameras on the CPU that were lost because decoding them was behind.

    size: None while nobody was turned away.
    """

    def __init__(self) -> None:
        self.size: int | None = None
        self._gauge = OverloadGauge()
        self._calm_since_s: float | None = None
        self._calm_s = CALM_S
        self._grown_s = float("-inf")
        self._needed_s = float("-inf")
        self._too_much = 0.0

    def note(
        self,
        due: int,
        behind: int,
        now_s: float,
        *,
        spilled: int,
        poolable: int,
        pooled: int,
        pixels_per_s: Callable[[], float] = lambda: 0.0,
    ) -> bool:
        """Whether the size is another one now.

        due, behind: of all cameras on the CPU, the frames that became due and those lost by decoding too slowly.
        spilled: cameras on the CPU that want a session; poolable: those of them that can go; pooled: who has gone.
        pixels_per_s: what all cameras on the CPU send, and those that have gone; asked once a second. Where it has
        become less, what was found of more says nothing any more.
        """
        load = self._gauge.note(due, behind, now_s)
        if load is not None and pixels_per_s() < LIGHTER * self._too_much:
            self._calm_s, self._too_much = CALM_S, 0.0
        if self._calm_since_s is None or load in ("overloaded", "unclear"):
            self._calm_since_s = now_s
        if load == "overloaded" and poolable:
            share = self._gauge.lost_share
            self._change(max(min(int(spilled * (1 - share)), spilled - 1), spilled - poolable), now_s)
            if now_s - self._grown_s <= SOON_S:
                self._calm_s, self._too_much = min(2 * self._calm_s, LONGEST_CALM_S), pixels_per_s()
            return True
        is_calm = now_s - self._calm_since_s >= self._calm_s and self._gauge.lost_share <= SPARE_SHARE
        if pooled and is_calm:
            self._change(spilled + max(spilled // GROWTH, 1), now_s)
            self._grown_s = now_s
            return True
        if spilled or pooled or self.size is None:
            self._needed_s = now_s
        elif now_s - self._needed_s >= CALM_S:  # every camera has a session, or is gone
            self.size, self._calm_s, self._too_much = None, CALM_S, 0.0
            return True
        return False

    def _change(self, size: int, now_s: float) -> None:
        self.size = size
        self._gauge.clear()
        self._calm_since_s = now_s
