"""Who uses the machine beside the live view: one measurement alone, or any number of small works."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from photofinish.client.ui.words import WordedError

SMALL_WORK_S = 20.0
"""How long a measurement waits for what was begun before it: a picture, a replay that is being drawn."""


class MachineUse:
    """Reserves the machine. Each question is asked and answered in one step, so that no two measurements overlap."""

    def __init__(self, *, wait_s: float = SMALL_WORK_S) -> None:
        self._changed = threading.Condition()
        self._is_reserved = False
        self._works = 0
        self._wait_s = wait_s

    @property
    def is_reserved(self) -> bool:
        """Whether something is measured, or waits for small works to end."""
        return self._is_reserved

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nothing else that asks is let in while the block runs.

        Raises WordedError at once where something is measured, and after a while where small works do not end.
        """
        with self._changed:
            self.require_free()
            self._is_reserved = True
        try:
            with self._changed:
                if not self._changed.wait_for(lambda: not self._works, self._wait_s):
                    raise WordedError("page.reserved.working")
            yield
        finally:
            with self._changed:
                self._is_reserved = False

    @contextmanager
    def beside(self) -> Iterator[None]:
        """A small work beside the live view. Raises WordedError while something is measured."""
        with self._changed:
            self.require_free()
            self._works += 1
        try:
            yield
        finally:
            with self._changed:
                self._works -= 1
                self._changed.notify_all()

    def require_free(self) -> None:
        """Raise WordedError while something is measured: for who asks early, and takes a place later."""
        if self._is_reserved:
            raise WordedError("page.reserved.measuring")
