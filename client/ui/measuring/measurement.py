"""One measurement, run from the page: `perf comparison` and its reports, one command after the other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from photofinish.address.hiding import public_address
from photofinish.client.sources.opening import is_present
from photofinish.client.sources.synthetic import is_synthetic
from photofinish.client.ui.measuring.runs import KeptRuns
from photofinish.client.ui.page.machine_use import GivenUpError
from photofinish.client.ui.page.split_view import Choice
from photofinish.client.ui.processes.command import CommandRun, StartCommand
from photofinish.client.ui.words import WordedError
from photofinish.errors import PhotofinishError

MOST_S = 1200.0
"""A measurement that takes longer hangs; `--quick` asks for some minutes at most."""
FELL_SHORT = 3
"""Exit status of a run that was measured and is not valid: its report says why, and is shown."""
QUICK_S = 100.0
"""About how long it takes: what the bar runs along; it waits near its end where it takes longer."""
Phase = Literal["idle", "waiting", "measuring", "reporting", "done", "failed", "stopped"]
"""waiting: for the machine, which the view and what others began there leave first."""
UNDER_WAY: tuple[Phase, ...] = ("waiting", "measuring", "reporting")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is measured: two variants of the server at `url`, on frames of `source`.

    A few frames are taken before it begins and given over and over, so a camera serves as well as a recording: the view
    has let go of it by then.
    """

    url: str
    metrics_url: str | None
    baseline: str
    optimised: str
    source: str = field(repr=False)  # may hold a password

    @property
    def shown_source(self) -> str:
        """Where the pictures come from, for everybody to read; "" for the synthetic street, which has its own word."""
        if is_synthetic(self.source):
            return ""
        return Path(self.source).name if is_present(self.source) else public_address(self.source)


def subject_of(url: str, metrics_url: str | None, choice: Choice) -> Subject:
    """What the view shows, as something to measure."""
    return Subject(
        url=url, metrics_url=metrics_url, baseline=choice.baseline, optimised=choice.optimised, source=choice.source
    )


def comparison_words(subject: Subject, out: str) -> tuple[str, ...]:
    """The command line of a measurement."""
    return ("perf", "comparison", "--url", subject.url, "--metrics-url", subject.metrics_url or "none", "--baseline",
            subject.baseline, "--optimised", subject.optimised, "--source", subject.source, "--no-rivals",
            "--quick", "--out", out)  # fmt: skip


class Measurement:
    """Measures when it is told to, one at a time, while `paused` keeps the view from the machine. A context manager.

    paused: given what is set when it is to stop, so that a wait for the machine ends.
    """

    def __init__(
        self,
        runs: KeptRuns,
        subject: Callable[[], Subject],
        paused: Callable[[threading.Event], AbstractContextManager[None]] = lambda stop: nullcontext(),
        *,
        start: StartCommand = CommandRun,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.runs = runs
        self.made: list[str] = []
        """Names of what was measured since the page began."""
        self._subject = subject
        self._paused = paused
        self._start = start
        self._clock = clock
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._phase: Phase = "idle"
        self._line = self._message = ""
        self._reason: WordedError | None = None
        self._source = ""
        self._began = 0.0

    def __enter__(self) -> Measurement:
        """The measurement itself; nothing is started."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """End what runs."""
        self.stop()
        if self._thread and self._thread.ident is not None:
            self._thread.join()

    def begin(self) -> bool:
        """Start; False where one runs already."""
        with self._lock:
            if self._phase in UNDER_WAY:
                return False
            self._stop.clear()
            self._phase, self._line, self._message, self._began = "waiting", "", "", self._clock()
            self._reason = None
            self._thread = threading.Thread(target=self._run, name="measurement", daemon=True)
            try:
                self._thread.start()
            except RuntimeError:  # no further thread can be had
                self._phase = "failed"
                raise
            return True

    def stop(self) -> None:
        """Ask what runs to end; what was measured so far is thrown away."""
        self._stop.set()

    def document(self) -> dict[str, Any]:
        """How far it is, JSON-able. share: of its time, None while nothing runs.

        message: why it failed, as a command told it; reason: the same as a word, where it has one. source: what would
        be measured now, measured: what runs or ran last, as `shown_source` has it.
        """
        runs = self._phase in UNDER_WAY
        spent = self._clock() - self._began if runs else 0.0
        share = min(spent / QUICK_S, 0.95) if runs else None
        name = self.made[-1] if self._phase == "done" and self.made else None
        reason = {"word": self._reason.word, "values": self._reason.values} if self._reason else None
        return {"phase": self._phase, "line": self._line, "message": self._message, "reason": reason, "share": share,
                "source": self._subject().shown_source, "measured": self._source,
                "spent_s": round(spent), "name": name}  # fmt: skip

    def _run(self) -> None:
        name = self.runs.new_name()
        out = self.runs.folder / f"{name}.json"
        end: Phase = "failed"
        try:
            with self._paused(self._stop):
                end = self._measure(name, out)
        except GivenUpError:
            end = "stopped"
        except WordedError as exc:
            self._reason = exc
        except PhotofinishError as exc:
            self._message = str(exc)
        except OSError as exc:
            self._message = exc.strerror or str(exc)
        finally:
            self._phase = end  # last of all: who sees it may start the next one at once

    def _measure(self, name: str, out: Path) -> Phase:
        """Measure and draw the reports; how it ended."""
        subject = self._subject()
        self._source, self._phase = subject.shown_source, "measuring"
        status = None if self._stop.is_set() else self._step(comparison_words(subject, str(out)))
        if status in (0, FELL_SHORT) and out.is_file():
            self._phase = "reporting"
            for words in (("--lang", "zh"), ("--pdf",)):
                if not self._stop.is_set():
                    self._step(("perf", "report", str(out), *words))
            self.made.append(name)
            return "done"
        if self._stop.is_set():
            for left in self.runs.folder.glob(f"{name}.*"):
                left.unlink(missing_ok=True)
            return "stopped"
        return "failed"

    def _step(self, words: Sequence[str]) -> int | None:
        """Run a command to its end; its exit status, None where it was ended."""
        run = self._start(words, on_line=self._hear)
        until = self._clock() + MOST_S
        while (status := run.wait(0.2)) is None:
            if self._stop.is_set() or self._clock() > until:
                if not self._stop.is_set():
                    self._reason = WordedError("measuring.problem.too_long", minutes=round(MOST_S / 60))
                run.stop()
                return None
        if status not in (0, FELL_SHORT):
            self._message = run.why_it_failed()
            if not self._message:
                self._reason = WordedError("measuring.problem.silent", status=status)
        return status

    def _hear(self, line: str) -> None:
        if line.strip():
            self._line = line.strip()[:200]
