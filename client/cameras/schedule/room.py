"""How many cameras without a session of a GPU the CPU decodes: all of them, until their frames come too late."""

from __future__ import annotations

from photofinish.client.cameras.schedule.overload import SLOT_S, SLOTS, OverloadGauge

CALM_S = 30.0
"""After so long without overload the CPU is given some more, if it lost next to nothing of late."""
SPARE_SHARE = 0.01
"""More than this is next to overload: a CPU that loses some has nothing to spare."""
LONGEST_CALM_S = 480.0
SOON_S = 2.0 * SLOTS * SLOT_S
"""Overload so soon after that says that it was too much: the next time is waited for longer."""
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

    def note(self, due: int, behind: int, now_s: float, *, spilled: int, poolable: int, pooled: int) -> bool:
        """Whether the size is another one now.

        due, behind: of all cameras on the CPU, the frames that became due and those lost by decoding too slowly.
        spilled: cameras on the CPU that want a session; poolable: those of them that can go; pooled: who has gone.
        """
        load = self._gauge.note(due, behind, now_s)
        if self._calm_since_s is None or load in ("overloaded", "unclear"):
            self._calm_since_s = now_s
        if load == "overloaded" and poolable:
            share = self._gauge.lost_share
            self._change(max(min(int(spilled * (1 - share)), spilled - 1), spilled - poolable), now_s)
            if now_s - self._grown_s <= SOON_S:
                self._calm_s = min(2 * self._calm_s, LONGEST_CALM_S)
            return True
        is_calm = now_s - self._calm_since_s >= self._calm_s and self._gauge.lost_share <= SPARE_SHARE
        if pooled and is_calm:
            self._change(spilled + max(spilled // GROWTH, 1), now_s)
            self._grown_s = now_s
            return True
        return False

    def _change(self, size: int, now_s: float) -> None:
        self.size = size
        self._gauge.clear()
        self._calm_since_s = now_s
