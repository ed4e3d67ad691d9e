"""The account of one camera: every due frame ends as inferred or as one drop, and the sums are checked."""

from __future__ import annotations

from collections import Counter

from photofinish.client.cameras.values.outcome import CameraDropCause
from photofinish.client.cameras.values.status import DropCount
from photofinish.errors import PhotofinishError


class AccountError(PhotofinishError):
    """A camera's account does not add up: a bug of Photofinish."""


class CameraAccount:
    """Due frames are ticks, numbered from 0 by the schedule and opened in order; each is closed once.

    due comes from the clock alone, so a camera that never connects loses all of its frames. Not for several threads.
    """

    def __init__(self, camera: str) -> None:
        self.camera = camera
        self._due = 0
        self._inferred = 0
        self._dropped: Counter[CameraDropCause] = Counter()
        self._pending: dict[int, None] = {}

    @property
    def due(self) -> int:
        """Frames that were due so far."""
        return self._due

    @property
    def pending(self) -> tuple[int, ...]:
        """Ticks that are due and have no outcome yet, the oldest first."""
        return tuple(self._pending)

    def open_up_to(self, tick: int) -> range:
        """Make all ticks below `tick` due; those that became due now."""
        opened = range(self._due, max(tick, self._due))
        self._pending.update(dict.fromkeys(opened))
        self._due = opened.stop
        return opened

    def close_inferred(self, tick: int) -> None:
        """The tick's frame was inferred."""
        self._close(tick)
        self._inferred += 1

    def close_dropped(self, tick: int, cause: CameraDropCause) -> None:
        """The tick's frame was not inferred, for this one cause."""
        self._close(tick)
        self._dropped[cause] += 1

    def close_all(self, cause: CameraDropCause) -> int:
        """Drop everything that is pending; how many that was."""
        ticks = self.pending
        for tick in ticks:
            self.close_dropped(tick, cause)
        return len(ticks)

    def count(self) -> DropCount:
        """The figures now. Raises AccountError when they do not add up."""
        found = DropCount(
            due=self._due, inferred=self._inferred, dropped=dict(self._dropped), pending=len(self._pending)
        )
        require_sum(self.camera, found)
        return found

    def _close(self, tick: int) -> None:
        if tick not in self._pending:
            state = "was closed already" if tick < self._due else "is not due yet"
            raise AccountError(f"camera {self.camera}: frame {tick} {state}; this is a bug, please report it")
        del self._pending[tick]


def require_sum(camera: str, count: DropCount) -> None:
    """Raise AccountError unless due = inferred + drops + pending."""
    if count.due != count.inferred + count.dropped_total + count.pending:
        raise AccountError(
            f"camera {camera}: {count.due} frames were due, but {count.inferred} inferred + {count.dropped_total} "
            f"dropped + {count.pending} pending do not add up to them; this is a bug, please report it"
        )
