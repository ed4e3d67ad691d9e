"""When the pictures of a recording are shown: their times from a container's time stamps, and waiting for them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from photofinish.errors import SourceError

Clock = Callable[[], int]
"""Nanoseconds, as perf_counter_ns."""


_GAP_NS = 500_000_000


class RecordedPicture(Protocol):
    """One picture of a recording, not yet made into pixels. presented_ns: when it is shown, from the beginning on."""

    presented_ns: int

    def image_hwc_bgr(self) -> npt.NDArray[np.uint8] | None:
        """Its pixels (height, width, 3), blue first; None when it is to be left out. Raises SourceError if damaged."""


Taken = RecordedPicture | SourceError | None
"""The next picture, or what went wrong, which must not hide the picture before it, or None at the end."""


class PresentationClock:
    """Times in nanoseconds from the first picture on, which always grow, from time stamps that may not.

    Time stamps are missing, go back (two recordings in one file) or jump (a transport stream whose clock was set).
    Such a step takes as long as the picture before it was meant to be shown.
    """

    def __init__(self, *, interval_ns: int, max_step_ns: int) -> None:
        """interval_ns: how long a picture is shown where nothing says it. max_step_ns: a longer step is a jump.

        gaps_ns counts up the time for which no picture came though several were due.
        """
        self.gaps_ns = 0
        self._interval_ns = interval_ns
        self._max_step_ns = max_step_ns
        self._now_ns: int | None = None
        self._stamp_ns: int | None = None
        self._shown_for_ns = interval_ns

    @property
    def end_ns(self) -> int:
        """When the last picture so far ends."""
        return 0 if self._now_ns is None else self._now_ns + self._shown_for_ns

    def place(self, stamp_ns: int | None, shown_for_ns: int | None = None) -> int:
        """The time of the next picture. stamp_ns: its time stamp; shown_for_ns: its duration; None where unknown."""
        if self._now_ns is None:
            self._now_ns, self._stamp_ns = 0, stamp_ns
        else:
            step_ns = self._step_ns(stamp_ns)
            self._now_ns += step_ns
            if step_ns > max(_GAP_NS, 5 * self._interval_ns):
                self.gaps_ns += step_ns - self._shown_for_ns
            known_ns = None if self._stamp_ns is None else self._stamp_ns + step_ns
            self._stamp_ns = known_ns if stamp_ns is None else stamp_ns
        is_sane = shown_for_ns is not None and 0 < shown_for_ns <= self._max_step_ns
        self._shown_for_ns = shown_for_ns if is_sane and shown_for_ns is not None else self._interval_ns
        return self._now_ns

    def _step_ns(self, stamp_ns: int | None) -> int:
        if stamp_ns is not None and self._stamp_ns is not None:
            step_ns = stamp_ns - self._stamp_ns
            if 0 < step_ns <= self._max_step_ns:
                return step_ns
        return self._shown_for_ns


def keep_pace(
    picture: RecordedPicture, take: Callable[[], Taken], *, begun_ns: int, clock: Clock, closed: threading.Event
) -> tuple[RecordedPicture, Taken, int]:
    """Wait until `picture` is due, and pass over it while its successor is: the picture, the next, how many passed.

    begun_ns: when the recording was begun, by `clock`. closed: ends the wait.
    """
    early_ns = begun_ns + picture.presented_ns - clock()
    if early_ns > 0:
        closed.wait(early_ns / 1e9)
    passed = 0
    following = take()
    while following is not None and not isinstance(following, SourceError) and not closed.is_set():
        if clock() < begun_ns + following.presented_ns:
            break
        picture, following, passed = following, take(), passed + 1
    return picture, following, passed
