"""Whether a stream's pictures are shown in another order than they come, by their capture times."""

from __future__ import annotations

from collections import deque

STEPS_BACK = 3
"""So many times a picture was captured before the one ahead of it. A clock that is set steps back once."""
AMONG = 32
"""Among so many pictures: with B frames it is every second or third one."""


class CaptureOrder:
    """Told of every picture's capture time, in the order of coming."""

    def __init__(self) -> None:
        self._last_ns = 0
        self._count = 0
        self._back: deque[int] = deque(maxlen=STEPS_BACK)

    def is_reordered_by(self, captured_ns: int) -> bool:
        """Whether this picture leaves no doubt."""
        self._count += 1
        if captured_ns < self._last_ns:
            self._back.append(self._count)
        self._last_ns = captured_ns
        return len(self._back) == STEPS_BACK and self._count - self._back[0] < AMONG

    def begin_anew(self) -> None:
        """Another connection, and with it another clock."""
        self._last_ns = 0
        self._back.clear()
