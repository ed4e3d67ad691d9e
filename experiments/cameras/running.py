"""`photofinish cameras run` as an experiment watches it: its frames as they come, its status, its processes.

Backs: docs/cameras.md, "started as a user starts it"
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.faults.load import photofinish
from photofinish.client.cameras.values.camera import Camera
from photofinish.errors import PhotofinishError

START_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 20.0
ASK_TIMEOUT_S = 5.0
_STATUS = re.compile(r"Status: (http://\S+)")


@dataclass(frozen=True, slots=True)
class HeardFrame:
    """One inferred frame. at_s: time.monotonic() when its line was read here."""

    camera: str
    at_s: float
    latency_ms: float


def export_model(folder: Path, *, variant: str, input_size: int) -> Path:
    """The demo detector in one variant, small, without the accuracy gate; its repository."""
    repository = folder / "model_repository"
    words = ["export", "--variant", variant, "--input-size", str(input_size), "--no-gate", "--device", "cpu"]
    words += ["--staging", str(folder / "staging"), "--repository", str(repository)]
    subprocess.run(photofinish(*words), check=True, stdout=subprocess.DEVNULL)
    return repository


def write_list(path: Path, cameras: Iterable[Camera]) -> None:
    """A cameras.toml; as an editor does it that exchanges the file."""
    rows = []
    for camera in cameras:
        fields: dict[str, Any] = {"name": camera.name, "url": camera.url, "frames_per_s": camera.frames_per_s}
        fields |= {key: value for key in ("user", "password") if (value := getattr(camera, key))}
        fields |= {"stall_s": camera.stall_s} if camera.stall_s is not None else {}
        rows.append("[[camera]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in fields.items()))
    fresh = path.with_suffix(".new")
    fresh.write_text("\n".join(rows), encoding="utf-8")
    fresh.replace(path)


class RunningCameras:
    """The command while the block lasts. on_frame hears of every inferred frame, in a thread of its own.

    notices: what the command said, without the line of figures that comes every ten seconds.
    """

    def __init__(
        self,
        words: Sequence[str],
        log: Path,
        on_frame: Callable[[HeardFrame], None] = lambda frame: None,
        *,
        json_path: str = "-",
    ) -> None:
        """words: of `photofinish cameras run`. json_path: where frames' lines go; on_frame hears of standard output."""
        self._words = photofinish("cameras", "run", *words, "--json", json_path)
        self._log = log
        self._on_frame = on_frame
        self._process: subprocess.Popen[str] | None = None
        self._threads: list[threading.Thread] = []
        self._lines: list[str] = []
        self.status_url = ""

    def __enter__(self) -> RunningCameras:
        """Start it and wait until it tells where its status is. Raises PhotofinishError when it does not."""
        self._process = subprocess.Popen(
            self._words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
        )
        for read in (self._read_frames, self._read_log):
            thread = threading.Thread(target=read, args=(self._process,), daemon=True)
            thread.start()
            self._threads.append(thread)
        end_s = time.monotonic() + START_TIMEOUT_S
        while not self._has_status():
            if time.monotonic() > end_s or self._process.poll() is not None:
                self.stop()
                raise PhotofinishError(f"`photofinish cameras run` did not start; see {self._log}")
            time.sleep(0.1)
        return self

    def __exit__(self, *exc_info: object) -> None:
        """End it as Ctrl-C does."""
        self.stop()

    def stop(self) -> float:
        """End it; the seconds that took."""
        process, begun_s = self._process, time.monotonic()
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        stopped_s = time.monotonic() - begun_s
        for thread in self._threads:
            thread.join(STOP_TIMEOUT_S)
        return stopped_s

    @property
    def pid(self) -> int:
        """The owner's process."""
        return self._process.pid if self._process is not None else 0

    @property
    def notices(self) -> list[str]:
        """What it said so far."""
        return [line for line in self._lines if "frames/s inferred" not in line]

    def status(self) -> dict[str, Any]:
        """Its /status. Raises OSError while it does not answer."""
        with urllib.request.urlopen(f"{self.status_url}/status", timeout=ASK_TIMEOUT_S) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def _has_status(self) -> bool:
        with contextlib.suppress(OSError):  # 503 until the cell has told its first
            return bool(self.status_url and self.status())
        return False

    def _read_frames(self, process: subprocess.Popen[str]) -> None:
        for line in process.stdout or ():
            now_s = time.monotonic()
            with contextlib.suppress(ValueError, KeyError):
                values = json.loads(line)
                self._on_frame(HeardFrame(values["camera"], now_s, values["latency_ms"]))

    def _read_log(self, process: subprocess.Popen[str]) -> None:
        with self._log.open("w", encoding="utf-8") as log:
            for line in process.stderr or ():
                log.write(line)
                log.flush()
                self._lines.append(line.rstrip())
                if found := _STATUS.search(line):
                    self.status_url = found[1]


def scheduling() -> str:
    """The priority of this process and of what it starts, as a record says it."""
    policy = os.sched_getscheduler(0)
    names = {
        os.SCHED_OTHER: "as any program",
        os.SCHED_FIFO: "real time, first in first out",
        os.SCHED_RR: "real time, in turn",
    }
    priority = os.sched_getparam(0).sched_priority
    return names.get(policy, f"policy {policy}") + (f", {priority}" if priority else "")


def raise_priority(pids: Iterable[int]) -> None:
    """Where this runs in real time, run these above it: a generator that waits for what it loads measures itself."""
    policy, own = os.sched_getscheduler(0), os.sched_getparam(0).sched_priority
    if policy != os.SCHED_OTHER:
        for pid in pids:
            os.sched_setscheduler(pid, policy, os.sched_param(own + 10))


def end_with_sigterm() -> None:
    """Have SIGTERM end this as Ctrl-C does, so that nothing that it started stays."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


def say(text: str) -> None:
    """A line for who waits."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()
