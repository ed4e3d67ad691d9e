"""Who uses the machine beside the live view: one measurement alone, or any number of other works."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from photofinish.client.ui.words import WordedError

SMALL_WORK_S = 20.0
"""How long a measurement waits for what was begun before it: a picture, a replay that is being drawn."""
LOOK_S = 0.1
"""How often a wait looks whether it is still wanted."""
GiveWay = Callable[[], None]
"""Ends a work that may be ended, and returns when it has been asked to; its own block of `beside` ends then."""


class GivenUpError(Exception):
    """Who waited for the machine no longer wants it."""


class MachineUse:
    """Reserves the machine. Each question is asked and answered in one step, so that no two measurements overlap."""

    def __init__(self, *, wait_s: float = SMALL_WORK_S) -> None:
        self._changed = threading.Condition()
        self._is_reserved = False
        self._works = 0
        self._yielding: list[GiveWay] = []
        self._wait_s = wait_s

    @property
    def is_reserved(self) -> bool:
        """Whether something is measured, or waits for other works to end."""
        return self._is_reserved

    @contextmanager
    def alone(self, stop: threading.Event | None = None) -> Iterator[None]:
        """Nothing else that asks is let in while the block runs.

        It waits for what was begun before, then for what had to give way: `wait_s` each. Raises WordedError at once
        where something is measured, and behind that where works do not end. stop: set by who no longer wants it, which
        raises GivenUpError in place of more waiting; nothing has to give way for it then.
        """
        with self._changed:
            self.require_free()
            self._is_reserved = True
        try:
            if not self._is_alone_in_time(stop):
                self._ask_to_give_way()
                if not self._is_alone_in_time(stop):
                    raise WordedError("page.reserved.working")
            yield
        finally:
            with self._changed:
                self._is_reserved = False

    @contextmanager
    def beside(self, give_way: GiveWay | None = None) -> Iterator[None]:
        """A work beside the live view. Raises WordedError while something is measured.

        give_way: ends it where it still runs some time after a measurement was asked for; None for what may go on.
        """
        with self._changed:
            self.require_free()
            self._works += 1
            if give_way:
                self._yielding.append(give_way)
        try:
            yield
        finally:
            with self._changed:
                self._works -= 1
                if give_way:
                    self._yielding.remove(give_way)
                self._changed.notify_all()

    def _is_alone_in_time(self, stop: threading.Event | None) -> bool:
        until_s = time.monotonic() + self._wait_s
        with self._changed:
            while self._works:
                if stop is not None and stop.is_set():
                    raise GivenUpError
                left_s = until_s - time.monotonic()
                if left_s <= 0:
                    return False
                self._changed.wait(min(left_s, LOOK_S))
        return True

    def _ask_to_give_way(self) -> None:
        with self._changed:
            asked = tuple(self._yielding)
        for give_way in asked:
            give_way()

    def require_free(self) -> None:
        """Raise WordedError while something is measured: for who asks early, and takes a place later."""
        if self._is_reserved:
            raise WordedError("page.reserved.measuring")
