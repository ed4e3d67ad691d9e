"""The reports beside a record's JSON: Markdown, CSV and a page, all under the same name."""

from __future__ import annotations

from pathlib import Path

from photofinish.errors import ConfigError
from photofinish.perf.record.record import Record
from photofinish.perf.report.csv import csv_report
from photofinish.perf.report.html import html_report
from photofinish.perf.report.markdown import markdown_report


def write_reports(record: Record, json_path: Path, *, lang: str = "en") -> tuple[Path, ...]:
    """The paths written: `.md`, `.csv` and `.html` beside the JSON; another language than English is in the name."""
    name = json_path.stem if lang == "en" else f"{json_path.stem}.{lang}"
    texts = {
        json_path.with_name(f"{name}.md"): markdown_report(record, lang=lang),
        json_path.with_name(f"{name}.csv"): csv_report(record),
        json_path.with_name(f"{name}.html"): html_report(record, lang=lang),
    }
    for path, text in texts.items():
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as exc:
            raise ConfigError(f"{path} cannot be written: {exc}; choose another place with --out") from exc
    return tuple(texts)
