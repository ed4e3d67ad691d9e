"""A measurement whose commands are made up: they take half a second, and write a real report of a small record."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from photofinish.client.ui.measuring.measurement import Measurement, subject_of
from photofinish.client.ui.measuring.runs import KeptRuns
from photofinish.client.ui.page.panels import PanelContext

GOLDEN = Path(__file__).resolve().parents[3] / "perf" / "report" / "golden"


class MadeUpCommand:
    """What `perf comparison` and `perf report` leave behind, after a moment."""

    def __init__(self, words: Sequence[str], *, on_line: Callable[[str], None], memory_bytes: int = 0) -> None:
        self._words = list(words)
        self._ended = threading.Event()
        on_line("flat out: 3 of 20 rounds, 10 s left")

    def wait(self, timeout_s: float | None = None) -> int | None:
        if not self._ended.wait(0.5) and self._words[1] == "comparison":
            out = Path(self._words[-1])
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text("{}")
            for ending in ("html", "csv", "zh.html"):
                shutil.copy(GOLDEN / f"report.{ending}", out.with_name(f"{out.stem}.{ending}"))
        return 0

    def stop(self) -> None:
        self._ended.set()

    def why_it_failed(self) -> str:
        return ""


def made_up_measurement(folder: Path, context: PanelContext) -> Measurement:
    """A measurement of the view that really stands still meanwhile."""
    view = context.view
    return Measurement(
        KeptRuns(folder),
        lambda: subject_of(view.url, view.metrics_url, view.choice),
        view.paused,
        start=MadeUpCommand,
    )
