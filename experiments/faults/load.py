"""The load of a soak: a server, a split view and clients as users start them, each started again when it ends.

Backs: docs/reliability.md, "runs a server, a split view, two cameras and reconnecting clients, with a fault a minute"
"""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from photofinish.client.triton.served import TritonClient
from photofinish.client.triton.session import Session
from photofinish.client.triton.transport import GRPC
from photofinish.errors import PhotofinishError

RESTART_AFTER_S = 0.2
PROBE_EVERY_S = 0.1
PROBE_TIMEOUT_S = 2.0
POLL_S = 0.25
FOLLOWS_S = 3.0
NOTICED_S = 1.5
"""A pause of a channel longer than this, and than thrice the longest in the 20 s before, belongs to the fault."""


@dataclass(slots=True)
class Channel:
    """When something worked that a fault may stop. errors: how often, by their first words."""

    name: str
    worked_at: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    def work(self) -> None:
        """It worked just now."""
        self.worked_at.append(time.monotonic())

    def fail(self, exc: BaseException) -> None:
        """It failed."""
        self.errors[f"{type(exc).__name__}: {str(exc)[:160]}"] += 1

    def pauses_s(self, since: float, until: float) -> list[tuple[float, float]]:
        """Begin and end, from `since` on, of every pause longer than usual; one that goes on ends with `until`."""
        before = [moment for moment in self.worked_at if since - 20 <= moment < since]
        longest = max((later - earlier for earlier, later in itertools.pairwise(before)), default=0.0)
        noticed_s = max(NOTICED_S, 3 * longest)
        times = [since, *(moment for moment in self.worked_at if since <= moment <= until), until]
        return [
            (round(earlier - since, 2), round(later - since, 2))
            for earlier, later in itertools.pairwise(times)
            if later - earlier > noticed_s
        ]


def recovery_from_pauses(pauses_s: list[tuple[float, float]], struck_s: float, until_s: float) -> float | None:
    """When everything worked again, in seconds from the fault, whose strike took `struck_s`.

    Pauses that begin within FOLLOWS_S of the strike, or of the end of such a pause, are the fault's; others are those
    of a busy machine. 0 without one; None when the last one goes on to the end.
    """
    end_s = struck_s
    recovered_s = 0.0
    for begin, end in pauses_s:
        if begin > end_s + FOLLOWS_S:
            break
        end_s = recovered_s = end
    return None if recovered_s >= round(until_s, 2) else recovered_s


class Kept:
    """A command that is started again whenever it ends. on_line: gets what it prints on stdout."""

    def __init__(
        self, name: str, words: list[str], log: Path, on_line: Callable[[str], None] = lambda line: None
    ) -> None:
        self.name = name
        self.starts = 0
        self.exits: Counter[int] = Counter()
        self._words = words
        self._log = log
        self._on_line = on_line
        self._stopping = threading.Event()
        self.process: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._keep, name=f"keep-{name}", daemon=True)

    def __enter__(self) -> Kept:
        """Start it."""
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """End it for good."""
        self._stopping.set()
        while self._thread.is_alive():
            if self.process is not None:
                with contextlib.suppress(ProcessLookupError):
                    self.process.terminate()
            self._thread.join(5.0)

    @property
    def pid(self) -> int | None:
        """The process that runs now."""
        process = self.process
        return process.pid if process is not None and process.poll() is None else None

    def _keep(self) -> None:
        while not self._stopping.is_set():
            with self._log.open("a") as log:
                self.process = subprocess.Popen(self._words, stdout=subprocess.PIPE, stderr=log, text=True)
                self.starts += 1
                for line in self.process.stdout or ():
                    self._on_line(line)
                self.exits[self.process.wait()] += 1
            self._stopping.wait(RESTART_AFTER_S)


def photofinish(*words: str) -> list[str]:
    """The command line of a command of this checkout."""
    return [sys.executable, "-m", "photofinish.cli", *words]


def probe_until(stop: threading.Event, url: str, model_name: str, channel: Channel) -> None:
    """Ask one model for an answer ten times a second, over a new connection after each failure."""
    session: Session | None = None
    while not stop.is_set():
        try:
            if session is None:
                with TritonClient(url, timeout_s=PROBE_TIMEOUT_S) as client:
                    model = client.model(model_name)
                session = Session(url, model, transport=GRPC, slots=1, timeout_s=PROBE_TIMEOUT_S)
            slot = session.acquire()
            slot.input_array[...] = np.zeros((), slot.input_array.dtype)
            session.infer(slot)
            session.release(slot)
            channel.work()
        except PhotofinishError as exc:
            channel.fail(exc)
            if session is not None:
                session.close()
                session = None
        stop.wait(PROBE_EVERY_S)
    if session is not None:
        session.close()


def watch_view(stop: threading.Event, page_url: str, channels: dict[str, Channel], pids: dict[str, int]) -> None:
    """Read the page's state; a side works when its count of frames has grown. pids: of the sides' processes."""
    done = dict.fromkeys(channels, 0)
    while not stop.is_set():
        with contextlib.suppress(OSError, ValueError, KeyError):
            with urllib.request.urlopen(f"{page_url}/view/state", timeout=2) as answer:
                sides: dict[str, Any] = json.load(answer)["sides"]
            for side, channel in channels.items():
                numbers = sides[side]["numbers"]
                if numbers["frames_done"] > done[side]:
                    channel.work()
                done[side] = numbers["frames_done"]
                if numbers["pid"]:
                    pids[side] = numbers["pid"]
        stop.wait(POLL_S)


def watch_stream(stop: threading.Event, page_url: str) -> None:
    """Look at the page's picture as a browser does."""
    while not stop.is_set():
        with (
            contextlib.suppress(OSError, ValueError),
            urllib.request.urlopen(f"{page_url}/view/stream.mjpg", timeout=5) as answer,
        ):
            while not stop.is_set() and answer.read(65536):
                pass
        stop.wait(1.0)
