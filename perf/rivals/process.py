"""An arm in a process of its own: started, asked for blocks when it is its turn, ended."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from photofinish.detections import Detections
from photofinish.machine.started_program import StartedProgram
from photofinish.perf.record.changes import NotRun, NotRunError
from photofinish.perf.record.samples import NS_PER_S, Samples
from photofinish.perf.rivals.agreement import detections_from_rows

READY_TIMEOUT_S = 120.0
"""Importing PyTorch and Ultralytics takes seconds, and a first call on a GPU some more."""
_GRACE_S = 60.0
_END_TIMEOUT_S = 5.0
_ROOT = Path(__file__).resolve().parents[2]


class RivalProcess:
    """A program that takes turns, see `photofinish/machine/turns.py`. Raises NotRunError when it dies or is silent.

    `start` returns at once, `wait_until_ready` when its first frame is done: several start side by side. about: what it
    told of itself. pid and cpu_s are what a Watcher asks for.
    """

    def __init__(self, module: str, job: Mapping[str, Any], *, environment: Mapping[str, str] | None = None) -> None:
        self.about: dict[str, Any] = {}
        self._cpu_ns = 0
        self._errors: IO[bytes] = tempfile.TemporaryFile()
        path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
        self._process: StartedProgram[bytes] = StartedProgram(
            [sys.executable, "-m", module, json.dumps(dict(job))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, "PYTHONPATH": path, **(environment or {})},
            start_new_session=True,  # Ctrl-C is this process's to hear
        )
        self.pid = self._process.pid

    def __enter__(self) -> RivalProcess:
        """The process itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self.close()

    def wait_until_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Return when it has done its first frame."""
        self.about = dict(self._answer(timeout_s)["about"])

    def block(self, seconds: float, *, lead_in: int = 0) -> Samples:
        """Frames for so many seconds, one after the other, after `lead_in` uncounted ones."""
        answer = self._ask(_GRACE_S + seconds, do="block", seconds=seconds, lead_in=lead_in)
        self._cpu_ns += int(answer["cpu_ns"])
        done_ns = tuple(answer["done_ns"])
        begun_ns = (0, *done_ns[:-1])
        return Samples(scheduled_ns=begun_ns, sent_ns=begun_ns, done_ns=done_ns, window_ns=done_ns[-1])

    def boxes(self) -> tuple[Detections, ...]:
        """What it finds in each frame, best first."""
        return tuple(detections_from_rows(rows) for rows in self._ask(_GRACE_S, do="boxes")["boxes"])

    def cpu_s(self) -> float:
        """Processor seconds that its blocks have used, all its threads together."""
        return self._cpu_ns / NS_PER_S

    def close(self) -> None:
        """End it; a second call does nothing."""
        if self._process.stdin and not self._process.stdin.closed:
            with contextlib.suppress(BrokenPipeError):  # it has died with an order unread
                self._process.stdin.close()  # the end of its orders
            try:
                self._process.wait(_END_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
        self._errors.close()

    def _ask(self, timeout_s: float, **order: object) -> dict[str, Any]:
        try:
            if self._process.stdin is None or self._process.stdin.closed:
                raise BrokenPipeError
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError as exc:
            raise NotRunError(self._end()) from exc
        return self._answer(timeout_s)

    def _answer(self, timeout_s: float) -> dict[str, Any]:
        stdout = self._process.stdout
        if stdout is None or not select.select([stdout], [], [], timeout_s)[0]:
            raise NotRunError(NotRun(key="silent", values={"seconds": f"{timeout_s:g}"}))
        line = stdout.readline()
        if not line.endswith(b"\n"):
            raise NotRunError(self._end())
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _end(self) -> NotRun:
        """How it ended, and its last words."""
        try:
            code = self._process.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").splitlines()
        said = next((line.strip() for line in reversed(lines) if line.strip()), "nothing")
        return NotRun(key="ended", values={"code": code, "said": said[:300]})
