"""Measurements that are on the disk: which there are, what each says in a line, and the files of one."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

RESULTS = Path(".photofinish/results")
"""Where `photofinish perf` writes."""
MOST_RUNS = 20
PREFIX = "page-"
"""Begins the names of what was measured from a page."""
HEAD_BYTES = 4096
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,120}")
_TITLE = re.compile(r"<title>(.*?)</title>", re.DOTALL)
KINDS: Mapping[str, str] = {"report": ".html", "report.zh": ".zh.html", "csv": ".csv", "pdf": ".pdf", "json": ".json"}
"""What can be fetched of a run, and how its file's name ends behind the run's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptRun:
    """A finished measurement. titles: its first sentence, by language; kinds: those of KINDS that are there."""

    name: str
    titles: Mapping[str, str]
    written_s: float
    kinds: tuple[str, ...]


class KeptRuns:
    """The measurements of a folder, the newest first. Names that come from outside are looked up, never joined."""

    def __init__(self, folder: Path = RESULTS) -> None:
        self.folder = folder

    def new_name(self, now_s: float | None = None) -> str:
        """A name for the next one, which none has yet."""
        stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(now_s))
        return f"{PREFIX}{stamp}"

    def newest(self, only: Collection[str] | None = None) -> list[KeptRun]:
        """At most MOST_RUNS that have a report, of all or of these names."""
        found = [path for path in self._records() if only is None or path.stem in only]
        return [self._run(path) for path in found[:MOST_RUNS]]

    def file(self, name: str, kind: str) -> Path | None:
        """A file of a run; None for any name and kind that is not there."""
        record = next((path for path in self._records() if path.stem == name), None)
        if record is None or kind not in KINDS:
            return None
        path = record.with_name(f"{record.stem}{KINDS[kind]}")
        return path if path.is_file() and not path.is_symlink() else None

    def _records(self) -> list[Path]:
        try:
            found = [
                path for path in self.folder.glob("*.json") if _NAME.fullmatch(path.stem) and not path.is_symlink()
            ]
            with_report = [(path.stat().st_mtime, path) for path in found if path.with_suffix(".html").is_file()]
        except OSError:
            return []
        return [path for _, path in sorted(with_report, reverse=True)]

    def _run(self, record: Path) -> KeptRun:
        kinds = [kind for kind, ending in KINDS.items() if record.with_name(f"{record.stem}{ending}").is_file()]
        title = _title_of(record.with_suffix(KINDS["report"])) or record.stem
        titles = {"en": title, "zh": _title_of(record.with_suffix(KINDS["report.zh"])) or title}
        try:
            written_s = record.stat().st_mtime
        except OSError:
            written_s = 0.0
        return KeptRun(name=record.stem, titles=titles, written_s=written_s, kinds=tuple(kinds))


def _title_of(report: Path) -> str:
    """The title of a report; "" where there is none."""
    try:
        with report.open("rb") as file:
            title = _TITLE.search(file.read(HEAD_BYTES).decode("utf-8", "replace"))
    except OSError:
        return ""
    return html.unescape(title[1]).strip() if title else ""
