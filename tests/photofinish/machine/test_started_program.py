"""Waiting for a program while signals come at every moment."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from types import FrameType

import pytest

from photofinish.machine.started_program import StartedProgram

TRIES = 3000


class _AskedToStop(BaseException):
    """What the signal's handler raises."""


@pytest.fixture
def alarms() -> Iterator[None]:
    """Each alarm asks to stop, as SIGTERM does."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise _AskedToStop

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGALRM)}
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGALRM, lambda number, frame: signal.raise_signal(signal.SIGTERM))
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_signal_at_any_moment_leaves_it_to_be_waited_for(alarms: None) -> None:
    program: StartedProgram[bytes] = StartedProgram([sys.executable, "-c", "import time; time.sleep(300)"])
    others = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)]
    moments = random.Random(7)
    stopped = 0
    for _ in range(TRIES):
        try:
            signal.setitimer(signal.ITIMER_REAL, moments.uniform(1e-6, 2e-4))
            while True:
                program.poll()
        except _AskedToStop:
            stopped += 1
    assert stopped == TRIES
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)] == others
    program.kill()
    assert program.wait(20) == -signal.SIGKILL


def test_waiting_ends_with_the_program_or_the_time() -> None:
    with StartedProgram([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as program:
        began_s = time.monotonic()
        with pytest.raises(subprocess.TimeoutExpired, match=r"timed out after 0\.2 seconds"):
            program.wait(0.2)
        assert time.monotonic() - began_s >= 0.2
        assert program.poll() is None
        program.communicate(b"\n", timeout=20)
    assert program.wait() == program.poll() == 0
