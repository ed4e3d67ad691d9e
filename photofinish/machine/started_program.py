"""A program that this process started, and may wait for while signals end its commands."""

from __future__ import annotations

import subprocess
import time
from typing import AnyStr

from photofinish.machine.signals import held_back

_FIRST_LOOK_S = 0.0005
_LATER_LOOKS_S = 0.05


class StartedProgram(subprocess.Popen[AnyStr]):
    """As subprocess.Popen, and its end can be waited for again after a signal has interrupted a wait.

    Popen takes a lock for each look at the program. What a signal's handler raises in the middle of it would leave the
    lock taken, and whoever cleans up would wait for it for ever. Here a signal takes effect between two looks.
    """

    def poll(self) -> int | None:
        """Its exit status, None while it runs."""
        with held_back():
            return super().poll()

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, once it has ended. Raises subprocess.TimeoutExpired after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        pause_s = _FIRST_LOOK_S
        while (code := self.poll()) is None:
            if deadline is not None:
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
                pause_s = min(pause_s, left_s)
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LATER_LOOKS_S)
        return code
