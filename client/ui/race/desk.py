"""One race at a time on the page: its progress, the last race, and its replay as a file for each screen."""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from photofinish.client.ui.page.machine_use import GivenUpError
from photofinish.client.ui.race.composing import RaceScreen
from photofinish.client.ui.race.headline import headline
from photofinish.client.ui.race.places import RaceLayout
from photofinish.client.ui.race.recording import record_video, save_still
from photofinish.client.ui.race.replay import Race
from photofinish.client.ui.words import Language, PageWords, said
from photofinish.errors import PhotofinishError

RaceStage = Literal["waiting", "warming", "round", "looking", "drawing"]
HEIGHTS: dict[RaceLayout, int] = {"wide": 720, "tall": 1120}
"""Of a replay on the page: a browser's window, a phone."""
PRESET = "ultrafast"
"""Of the encoder: somebody waits for it."""
JOIN_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RaceProgress:
    """How far a race is. number, rounds: of the measurement; share: of the stage, 0 to 1, where it is known."""

    stage: RaceStage
    number: int = 0
    rounds: int = 0
    share: float | None = None


class RaceStoppedError(PhotofinishError):
    """The page closed while a race ran."""


Tell = Callable[[RaceProgress], None]
Racer = Callable[[float, Tell], Race]
"""Measures a race of so many seconds a side and says how far it is."""


class RaceDesk:
    """Runs races in a thread of its own. A context manager: at its end the thread has ended and the files are gone."""

    def __init__(
        self,
        racer: Racer,
        stop: threading.Event,
        beside: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
    ) -> None:
        """stop: set when the page closes; a race then ends with its round.

        beside: what a drawing takes of the machine; raises WordedError while something is measured.
        """
        self._racer = racer
        self._beside = beside
        self._stop = stop
        self._lock = threading.Lock()
        self._drawing = threading.Lock()
        self._thread: threading.Thread | None = None
        self._progress = RaceProgress(stage="waiting")
        self._failure: Exception | None = None
        self._last: tuple[int, Race] | None = None
        self._resources = contextlib.ExitStack()
        self._folder = Path()

    def __enter__(self) -> RaceDesk:
        """Ready for the first race."""
        self._folder = Path(self._resources.enter_context(tempfile.TemporaryDirectory(prefix="photofinish-race-")))
        return self

    def __exit__(self, *exc_info: object) -> None:
        """End the race that runs, and take the files away."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(JOIN_S)
        self._resources.close()

    @property
    def is_running(self) -> bool:
        """Whether a race is being measured."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def last(self) -> tuple[int, Race] | None:
        """Number, from 1, and value of the last race; None before the first."""
        return self._last

    def start(self, seconds: float) -> bool:
        """Begin a race; False while another one runs."""
        with self._lock:
            if self.is_running or self._stop.is_set():
                return False
            self._failure, self._progress = None, RaceProgress(stage="waiting")
            self._thread = threading.Thread(target=self._run, args=[seconds], name="race", daemon=True)
            self._thread.start()
            return True

    def state(self, language: Language) -> dict[str, Any]:
        """What the page shows of it, JSON-able. race: number of the last one, 0 for none; said: its words."""
        is_running = self.is_running  # first: who is told that none runs is told of all that came of the last one
        say, progress, failure, last = PageWords(language), self._progress, self._failure, self._last
        told = say(f"race.page.{progress.stage}", number=progress.number, rounds=progress.rounds)
        found = headline(last[1], "done", last[1].duration_ns, say) if last else None
        return {
            "is_running": is_running,
            "stage": told if is_running else "",
            "share": progress.share if is_running else None,
            "failure": say("race.page.failed", reason=said(failure, say)) if failure else "",
            "race": last[0] if last else 0,
            "is_void": bool(last and last[1].claim.is_void),
            "said": [found.title, *found.lines] if found else [],
        }

    def video(self, language: Language, layout: RaceLayout) -> Path | None:
        """The last race's replay as MP4, drawn when it is asked for first; None before the first race.

        Raises WordedError where it would have to be drawn while something is measured.
        """
        return self._made(language, layout, ".mp4", lambda screen, path: record_video(screen, path, preset=PRESET))

    def still(self, language: Language, layout: RaceLayout) -> Path | None:
        """Its last picture as JPEG; None before the first race."""
        return self._made(language, layout, ".jpg", save_still)

    def _made(
        self, language: Language, layout: RaceLayout, suffix: str, make: Callable[[RaceScreen, Path], None]
    ) -> Path | None:
        with self._drawing:
            if self._last is None:
                return None
            number, race = self._last
            path = self._folder / f"race-{number}-{layout}-{language}{suffix}"
            if not path.is_file():
                with self._beside():
                    make(RaceScreen(race, PageWords(language), layout=layout, height_px=HEIGHTS[layout]), path)
            return path

    def _run(self, seconds: float) -> None:
        try:
            race = self._racer(seconds, self._tell)
        except (RaceStoppedError, GivenUpError):
            return
        except Exception as exc:  # shown on the page, which goes on
            self._failure = exc
            return
        number = self._last[0] + 1 if self._last else 1
        with self._drawing:
            for old in self._folder.glob("race-*"):
                old.unlink(missing_ok=True)  # who reads one reads it to its end
            self._last = (number, race)

    def _tell(self, progress: RaceProgress) -> None:
        if self._stop.is_set():
            raise RaceStoppedError("the page closed")
        self._progress = progress
