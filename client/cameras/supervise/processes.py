"""The processes of a cell: started, started again when they end, and gone with their owner."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from photofinish.client.cameras.wire.messages import ProcessKind
from photofinish.errors import reason_from_error
from photofinish.machine.started_program import StartedProgram

MODULES: dict[ProcessKind, str] = {
    "ingest": "photofinish.client.cameras.ingest.process",
    "decode": "photofinish.client.cameras.decode.process",
}
GPU_MODULE = "photofinish.client.cameras.decode.gpu.process"
FIRST_DELAY_S = 0.2
LONGEST_DELAY_S = 5.0
HEALTHY_S = 30.0
POLL_S = 0.1
HANGS_S = 15.0
"""Processes report once a second; one that says nothing for so long hangs in a library."""
START_S = 60.0
"""One that has not come so long after its start hangs too, on a machine however crowded."""
PAUSED_S = 2.0
"""Between two looks: the owner itself was stopped, or its machine, and what its processes told waits to be read."""
STOP_S = 0.7
TAIL_BYTES, MAX_WORDS = 4096, 300


class CellProcess:
    """One process, kept alive for ever: after a longer wait each time it ends soon. on_end hears why it ended."""

    def __init__(
        self,
        kind: ProcessKind,
        number: int,
        folder: Path,
        log_folder: Path,
        on_end: Callable[[str], None],
        silence_s: Callable[[ProcessKind, int], float | None] = lambda kind, number: 0.0,
        gpu: str = "",
    ) -> None:
        """silence_s: for how long nothing was heard of it, None while it has not come; one that hangs is killed, and
        then started again.

        gpu: the device that a decode process decodes on, "" for the CPU.
        """
        self.kind = kind
        self.number = number
        self.restarts = 0
        self._folder = folder
        self._log_path = log_folder / f"cameras-{kind}-{number}.log"
        self._on_end = on_end
        self._silence_s = silence_s
        self._gpu = gpu
        self._log_size = 0
        self._process: StartedProgram[bytes] | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.kind} process {self.number}{f' (GPU {self._gpu})' if self._gpu else ''}"

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self) -> None:
        """Start it and its supervision, which lives in the running loop."""
        self._spawn()
        self._task = asyncio.ensure_future(self._watch())

    async def stop(self) -> None:
        """End it: its standard input ends, and what does not leave then is killed."""
        if self._task is not None:
            self._task.cancel()
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        deadline = time.monotonic() + STOP_S
        while process.poll() is None and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        if process.poll() is None:
            process.kill()
        process.wait()

    def _spawn(self) -> None:
        self._log_path.parent.mkdir(parents=True, exist_ok=True)
        module = GPU_MODULE if self._gpu else MODULES[self.kind]
        command = [
            sys.executable,
            "-m",
            module,
            str(self._folder),
            str(self.number),
            *([self._gpu] if self._gpu else []),
        ]
        with self._log_path.open("ab") as log:
            self._log_size = log.tell()
            self._process = StartedProgram(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
            )

    def _last_words(self) -> str:
        """The last line that it wrote since it was started, such as an error that says what to do; "" for none."""
        try:
            with self._log_path.open("rb") as log:
                log.seek(max(self._log_size, self._log_path.stat().st_size - TAIL_BYTES))
                lines = log.read().decode("utf-8", "replace").strip().splitlines()
        except OSError:
            return ""
        return lines[-1].strip()[:MAX_WORDS] if lines else ""

    async def _watch(self) -> None:
        delay_s = FIRST_DELAY_S
        began_s = looked_s = time.monotonic()
        paused_s = float("-inf")
        while self._process is not None:
            before_s, looked_s = looked_s, time.monotonic()
            if looked_s - before_s > PAUSED_S + LONGEST_DELAY_S:
                paused_s = looked_s
            if (code := self._process.poll()) is None:
                silence_s = self._silence_s(self.kind, self.number)
                hangs = looked_s - began_s > START_S if silence_s is None else silence_s > HANGS_S
                if hangs and looked_s - paused_s > HANGS_S:
                    self._process.kill()
                await asyncio.sleep(POLL_S)
                continue
            ended = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
            why = f" ({words})" if code > 0 and (words := self._last_words()) else ""
            self._on_end(f"{self.name} {ended}{why} and is started again; see {self._log_path}")
            if time.monotonic() - began_s > HEALTHY_S:
                delay_s = FIRST_DELAY_S
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, LONGEST_DELAY_S)
            self.restarts += 1
            began_s = time.monotonic()
            try:
                self._spawn()
            except OSError as exc:  # the one that ended stays, so that it is tried again
                self._on_end(f"{self.name} cannot be started: {reason_from_error(exc)}; it is tried again")
