"""When a camera's frames are due: by the clock alone, whatever the camera does.

So a camera that is dead loses all of its frames, and one that comes back owes nothing. A picture serves the newest tick
that is due and open; a tick is open for a window, so that pictures may come early, late and in pairs.
"""

from __future__ import annotations

MIN_WINDOW_S = 0.5
WINDOW_INTERVALS = 2


class DueSchedule:
    """Tick k is due at a fixed time; a change of rate goes on from the next tick.

    frames_per_s: how many ticks come in a second now.
    """

    def __init__(self, start_ns: int, frames_per_s: float) -> None:
        """start_ns: of tick 0, in perf_counter_ns. frames_per_s: above 0."""
        self.frames_per_s = frames_per_s
        self._anchor_ns = start_ns
        self._anchor_tick = 0

    @property
    def period_ns(self) -> int:
        """Between two ticks."""
        return round(1e9 / self.frames_per_s)

    @property
    def window_ns(self) -> int:
        """How long after its tick a picture may still come: two intervals, half a second at least."""
        return round(max(MIN_WINDOW_S, WINDOW_INTERVALS / self.frames_per_s) * 1e9)

    def time_ns(self, tick: int) -> int:
        """When a tick is due."""
        return self._anchor_ns + round((tick - self._anchor_tick) * 1e9 / self.frames_per_s)

    def due_by(self, now_ns: int) -> int:
        """How many ticks are due by now."""
        passed = int((now_ns - self._anchor_ns) * self.frames_per_s / 1e9)
        count = max(self._anchor_tick + passed - 1, 0)
        while self.time_ns(count) <= now_ns:
            count += 1
        return count

    def change(self, now_ns: int, frames_per_s: float) -> None:
        """Another rate from the next tick on, which keeps its time."""
        tick = self.due_by(now_ns)
        self._anchor_ns, self._anchor_tick = self.time_ns(tick), tick
        self.frames_per_s = frames_per_s
