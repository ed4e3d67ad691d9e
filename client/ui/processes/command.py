"""A command of ours in a process of its own: its lines as they come, its end with all that it started."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import IO, Protocol

from photofinish.address.command_line import public_arguments
from photofinish.machine.started_program import StartedProgram

GRACE_S = 15.0
"""How long a command may take to clean up behind itself."""
LAST_LINES = 20
# Its words come as a line of its standard input, as others see the command line, and a source may hold a password.
# The process that started it holds that input: where it ends, the command stops as by Ctrl-C.
_GUARD = """
import json, os, resource, signal, sys, threading
limit = int(sys.argv[1])
sys.argv[1:] = json.loads(sys.stdin.buffer.readline())
if limit:
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
def watch():
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=watch, daemon=True).start()
from photofinish.cli import main
main()
"""


class RunningCommand(Protocol):
    """A command that runs, as whoever waits for it sees it."""

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Its exit status, None when it still runs after `timeout_s`."""

    def stop(self) -> None:
        """End it."""

    def why_it_failed(self) -> str:
        """What it told last."""


class StartCommand(Protocol):
    """Starts a command."""

    def __call__(
        self, words: Sequence[str], *, on_line: Callable[[str], None], memory_bytes: int = 0
    ) -> RunningCommand:
        """The running command."""


class CommandRun:
    """`photofinish` with these words, running. It ends with `stop`, by itself, or when this process dies.

    words: may hold a password, which nobody else on the machine sees. on_line: gets each line of its output and of what
    it tells, from a thread. memory_bytes: what it may hold at most by itself, 0 for no limit; past it, it ends with an
    error.
    """

    def __init__(
        self,
        words: Sequence[str],
        *,
        on_line: Callable[[str], None] = lambda line: None,
        memory_bytes: int = 0,
        grace_s: float = GRACE_S,
    ) -> None:
        """Start it. grace_s: how long it may clean up when it is ended. Raises OSError when no process can be had."""
        self._grace_s = grace_s
        self._lock = threading.Lock()
        self._is_group_ended = False
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self._on_line = on_line
        self._process = StartedProgram(
            [sys.executable, "-c", _GUARD, str(memory_bytes), *public_arguments(words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,  # a terminal's Ctrl-C is answered by its owner alone; its group is ended as a whole
        )
        with suppress(BrokenPipeError):  # it ended already, and says why
            if self._process.stdin:
                self._process.stdin.write(json.dumps(list(words)) + "\n")
                self._process.stdin.flush()
        self._readers = [
            threading.Thread(target=self._read, args=(stream, is_told), name="command-lines", daemon=True)
            for stream, is_told in ((self._process.stdout, False), (self._process.stderr, True))
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        """The id of its process."""
        return self._process.pid

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Its exit status, once all its lines were handed over; None when it still runs after `timeout_s`.

        What it started and left behind ends with it.
        """
        try:
            status = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        self._end_group()
        for reader in self._readers:
            reader.join(GRACE_S)
        return status

    def stop(self) -> None:
        """End it and all that it started, cleaned up where it answers in time. A second call does nothing."""
        if self._process.stdin and not self._process.stdin.closed:
            self._process.stdin.close()
        if self._process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(self._grace_s)
        self._end_group()
        self.wait()

    def why_it_failed(self) -> str:
        """The last line that it told, without our name in front; "" where it told none."""
        return next((line.removeprefix("photofinish: ") for line in reversed(self.last_lines) if line.strip()), "")

    def _end_group(self) -> None:
        """End what is left of the group that its process leads; once, as another may have the number later."""
        with self._lock:
            if not self._is_group_ended:
                self._is_group_ended = True
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, signal.SIGKILL)

    def _read(self, stream: IO[str] | None, is_told: bool) -> None:
        for line in stream or ():
            text = line.rstrip("\n")
            if is_told:
                self.last_lines.append(text)
            self._on_line(text)
