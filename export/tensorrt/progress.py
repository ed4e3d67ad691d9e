"""What TensorRT says while it builds: its messages, and how far it is."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from photofinish.export.tensorrt.library import TensorRTLibrary

logger = logging.getLogger("photofinish.tensorrt")

OnBuildStep = Callable[[float, str], None]
"""Called with the share of the build that is done (0..1) and the name of the phase."""


def tensorrt_logger(library: TensorRTLibrary) -> Any:
    """A TensorRT logger that passes messages to `logging` and keeps the last error as `last_error`."""
    trt = library.module
    levels = {
        trt.ILogger.INTERNAL_ERROR: logging.ERROR,
        trt.ILogger.ERROR: logging.ERROR,
        trt.ILogger.WARNING: logging.INFO,  # TensorRT warns of the ordinary, e.g. of INT64 shapes
        trt.ILogger.INFO: logging.DEBUG,
    }

    class PythonLogger(trt.ILogger):  # type: ignore[name-defined]
        """TensorRT's log in Python's."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.last_error = ""

        def log(self, severity: Any, message: str) -> None:
            """One message from any of TensorRT's threads."""
            level = levels.get(severity)
            if level == logging.ERROR:
                self.last_error = " ".join(message.split())
                level = logging.DEBUG  # the caller raises it as one clear line
            if level is not None:
                logger.log(level, "%s", message)

    return PythonLogger()


def progress_monitor(library: TensorRTLibrary, on_step: OnBuildStep, stop: threading.Event) -> Any:
    """A TensorRT progress monitor. TensorRT ends the build at the next step after `stop` is set."""
    trt = library.module
    phases = BuildPhases()

    class StepMonitor(trt.IProgressMonitor):  # type: ignore[name-defined]
        """Nested phases to one share. Nothing may be raised here: TensorRT calls it from C++."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            """A phase begins within another."""
            phases.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            """A step of a phase is done; False ends the build."""
            phases.complete(phase_name, step)
            on_step(phases.share, phase_name)
            return not stop.is_set()

        def phase_finish(self, phase_name: str) -> None:
            """A phase is done."""
            phases.finish(phase_name)

    return StepMonitor()


class BuildPhases:
    """TensorRT's nested phases as one share of the build that never falls."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._steps: dict[str, tuple[int, int]] = {}
        self._parents: dict[str, str | None] = {}
        self._share = 0.0

    @property
    def share(self) -> float:
        """How much is done: 0..1."""
        return self._share

    def start(self, name: str, parent: str | None, step_count: int) -> None:
        """A phase of `step_count` steps begins inside `parent`."""
        with self._lock:
            self._steps[name] = (0, max(step_count, 1))
            self._parents[name] = parent

    def complete(self, name: str, step: int) -> None:
        """The step with this index is done."""
        with self._lock:
            _, count = self._steps.get(name, (0, 1))
            self._steps[name] = (min(step + 1, count), count)
            self._share = max(self._share, min(self._root_share(name), 1.0))

    def finish(self, name: str) -> None:
        """The phase is over."""
        with self._lock:
            self._steps.pop(name, None)
            self._parents.pop(name, None)

    def _root_share(self, name: str) -> float:
        done, count = self._steps[name]
        share = done / count
        parent = self._parents.get(name)
        while parent is not None and parent in self._steps:
            done, count = self._steps[parent]
            share = (done + min(share, 1.0)) / count
            parent = self._parents.get(parent)
        return share if parent is None else self._share


@contextmanager
def build_bar(title: str) -> Iterator[OnBuildStep]:
    """A progress bar on a terminal's stderr; elsewhere nothing is drawn. Yields the function that moves it."""
    with tqdm(total=100, desc=title, unit="%", disable=None, bar_format=_BAR) as bar:

        def move(share: float, phase: str) -> None:
            done = int(100 * share)
            if done > bar.n:
                bar.set_postfix_str(phase, refresh=False)
                bar.update(done - bar.n)

        yield move


_BAR = "{desc}: {percentage:3.0f} %|{bar}| {elapsed}{postfix}"
