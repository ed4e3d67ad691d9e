"""Whether more is due than this machine can do, told apart from a pause that is over by itself."""

from __future__ import annotations

from collections import deque
from typing import Literal

Pressure = Literal["overloaded", "calm", "unclear"]

SLOT_S = 1.0
MIN_DUE = 5
"""Where fewer frames are due in a second, a slot is longer: of one or two nothing can be said."""
LOST_SHARE = 0.05
"""A slot is bad when more of its due frames came too late for this machine."""
SLOTS = 10
OVERLOADED_SLOTS = 8
"""Of the last ten. A pause loses many frames, all of them in the slots that it lies in; overload loses some in each."""
CALM_SLOTS = 5
"""With so few bad ones more may be asked of the machine; between the two nothing changes."""


class OverloadGauge:
    """Judges how losses are spread over time, not how many there are. Told of frames again and again, by one clock."""

    def __init__(self) -> None:
        self._slots: deque[tuple[int, int]] = deque(maxlen=SLOTS)
        self._began_s: float | None = None
        self._due = self._lost = 0

    @property
    def lost_share(self) -> float:
        """Of the frames that were due in the last slots."""
        return sum(lost for _, lost in self._slots) / max(sum(due for due, _ in self._slots), 1)

    def clear(self) -> None:
        """Another load from now on: what was seen says nothing of it."""
        self._slots.clear()

    def note(self, due: int, lost: int, now_s: float) -> Pressure | None:
        """Frames that became due, and those lost because the machine was too slow; a word when a slot is over."""
        if self._began_s is None:
            self._began_s = now_s
        self._due += due
        self._lost += lost
        if now_s - self._began_s < SLOT_S or self._due < MIN_DUE:
            return None
        self._slots.append((self._due, self._lost))
        self._began_s, self._due, self._lost = now_s, 0, 0
        bad = sum(lost > LOST_SHARE * due for due, lost in self._slots)
        return "overloaded" if bad >= OVERLOADED_SLOTS else "calm" if bad <= CALM_SLOTS else "unclear"
