"""`photofinish serve` in a process of its own, for the measurements that bring their own server.

Backs: docs/benchmarking-goals.md, "no error in 889,822 images, 360 sessions"
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from photofinish.errors import ServerError

STOP_TIMEOUT_S = 60
"""Seconds that a server gets to give back its models before it is killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnServer:
    """A server of this process. url: gRPC, host and port. process: its root; Triton and the models run below it."""

    url: str
    process: subprocess.Popen[str]

    def is_alive(self) -> bool:
        """It has not ended."""
        return self.process.poll() is None


@contextmanager
def served(repository: Path, names: tuple[str, ...], log: Path, *, ready_timeout_s: int = 500) -> Iterator[OwnServer]:
    """The repository (all of it, or only `names`) on free loopback ports, ready; stopped at the end.

    Raises ServerError when it does not become ready; the reason is on stderr by then.
    """
    command = [sys.executable, "-m", "photofinish.cli", "serve", "--repository", str(repository), "--log", str(log)]
    command += ["--grpc-port", "0", "--http-port", "0", "--metrics-port", "0", "--timeout", str(ready_timeout_s)]
    command += [part for name in names for part in ("--model", name)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = process.stdout.readline().strip() if process.stdout else ""
            if not url:
                raise ServerError("photofinish serve did not start; its message is above")
            yield OwnServer(url=url, process=process)
        finally:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
