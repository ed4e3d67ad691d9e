"""What asks a command to end: Ctrl-C, SIGTERM and SIGHUP, all of them answered alike."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
REPEATED_WITHIN_S = 2.0
"""A closing terminal sends SIGHUP twice, systemd SIGTERM and SIGHUP together: they ask once."""
_ASKED_AGAIN_AFTER_S = REPEATED_WITHIN_S + 0.1

_raised: list[StopSignal] = []


class StopSignal(KeyboardInterrupt):
    """SIGTERM or SIGHUP came: as KeyboardInterrupt, so that whatever cleans up after Ctrl-C cleans up after these."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def stop_as_ctrl_c_does(clock: Callable[[], float] = time.monotonic) -> None:
    """Let SIGTERM and SIGHUP raise StopSignal in the main thread from now on; for the beginning of a command.

    A signal that is ignored stays so: `nohup` starts programs with SIGHUP ignored, and means it. Processes that this
    one forks end by these signals as they would have without it.
    """
    owner, last_s = os.getpid(), -REPEATED_WITHIN_S

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal last_s
        if os.getpid() != owner:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
            return
        before_s, last_s = last_s, clock()
        if last_s - before_s >= REPEATED_WITHIN_S:
            _raised.append(StopSignal(number))
            raise _raised[-1]

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, stop)
    _ask_again_where_swallowed()


def _ask_again_where_swallowed() -> None:
    """Python drops what is raised in a destructor or a library's callback, a signal's exception as well: such a signal
    is sent once more, a little later."""
    before = sys.unraisablehook

    def hook(dropped: sys.UnraisableHookArgs) -> None:
        if not isinstance(dropped.exc_value, KeyboardInterrupt):
            before(dropped)
            return
        number = exit_code(dropped.exc_value) - 128
        again = threading.Timer(_ASKED_AGAIN_AFTER_S, os.kill, (os.getpid(), number))
        again.daemon = True
        again.start()

    sys.unraisablehook = hook


@contextmanager
def held_back() -> Iterator[None]:
    """A few renames that a signal must not come between: the first of ENDING takes effect when the block has ended.

    Only the main thread is ever interrupted, so that the block is nothing special in another one.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    handlers = {number: signal.getsignal(number) for number in ENDING}
    held = {number: handler for number, handler in handlers.items() if handler not in (signal.SIG_IGN, None)}
    try:
        for number in held:
            signal.signal(number, lambda number, frame: came.append(number))
        yield
    finally:
        _restore(held)
        if came:
            signal.raise_signal(came[0])


def _restore(handlers: Mapping[signal.Signals, Callable[[int, FrameType | None], Any] | int]) -> None:
    """Set them all, also where a signal comes between two and the first of them raises."""
    try:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    except BaseException:
        _restore(handlers)
        raise


def stop_behind(exc: BaseException) -> KeyboardInterrupt | None:
    """What asked to end where a library made an error of its own of that; None for an error like any other.

    Libraries in C++ that call Python back do so, and what they raise need not say what it was raised for.
    """
    before: BaseException | None = exc
    while before is not None:
        if isinstance(before, KeyboardInterrupt):
            return before
        before = before.__cause__ or before.__context__
    return _raised[-1] if _raised else None


def exit_code(exc: BaseException | None) -> int:
    """What a shell calls the end by that signal: 143 for SIGTERM, 129 for SIGHUP, 130 for Ctrl-C."""
    return 128 + (exc.number if isinstance(exc, StopSignal) else signal.SIGINT)


def name_of_signal(number: int) -> str:
    """`SIGKILL`, or `signal 34` for one that has no name here."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
