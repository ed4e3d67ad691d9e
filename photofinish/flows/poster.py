"""Reports and posters out of a record: drawn as pages, printed to PDF by a Chromium where there is one."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from photofinish.errors import ConfigError, said_of_file
from photofinish.flows import tell

if TYPE_CHECKING:
    from photofinish.perf.report.page.poster import Paper

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge")
PRINT_TIMEOUT_S = 60
_FLAGS = (
    "--headless",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-pdf-header-footer",
)


def make_poster(record: Path, *, out: Path, lang: str, paper: Paper) -> Path:
    """The file written: `out` as PDF, or a page of that name where none can be printed; then stderr says how to print.

    out: `.pdf`, or `.html` for the page alone. Raises ConfigError for another ending, and what `poster_html` raises.
    """
    from photofinish.perf.judge.findings import findings_from_record
    from photofinish.perf.record.record import read_record
    from photofinish.perf.report.page.poster import poster_html

    if out.suffix not in (".pdf", ".html"):
        raise ConfigError(f"--out must end in .pdf or .html, got {out.name}")
    page = poster_html(findings_from_record(read_record(record)), lang=lang, paper=paper)
    html_path = out.with_suffix(".html")
    if out.suffix == ".html":
        _write(html_path, page)
        return html_path
    with tempfile.TemporaryDirectory(prefix="photofinish-poster-") as folder:
        drawn = Path(folder) / "poster.html"
        drawn.write_text(page, encoding="utf-8")
        why_not = print_pdf(drawn, Path(folder) / "poster.pdf", profile=Path(folder) / "profile")
        if not why_not:
            _write(out, (Path(folder) / "poster.pdf").read_bytes())
            return out
    _write(html_path, page)
    tell(
        f"{why_not}; wrote a page instead. To print it, open {html_path} in a browser, then Ctrl-P: paper "
        f"{paper.upper()}, margins none, background graphics on"
    )
    return html_path


def redrawn_report(record: Path, *, out: Path | None, results: Path, lang: str, pdf: bool) -> str:
    """The tables of a record for a terminal; its reports are written beside `out`, the record, or into `results`.

    pdf: its page is printed, too.
    """
    from photofinish.flows.bench import draw_reports, place_of_reports
    from photofinish.perf.cameras.lists import lines_from_file
    from photofinish.perf.record.cameras import is_cameras_file
    from photofinish.perf.record.find import is_find_file
    from photofinish.perf.record.record import read_record
    from photofinish.perf.report.cameras.find import text_of_file
    from photofinish.perf.report.text import terminal_report

    if is_cameras_file(record):
        return "\n".join(lines_from_file(record))
    place = out or place_of_reports(record, results)
    if is_find_file(record):
        return text_of_file(record, place)
    findings = draw_reports(read_record(record), place, lang)
    if pdf:
        print_report(place, lang)
    return terminal_report(findings, lang=lang)


def print_report(record: Path, lang: str) -> None:
    """The report's page beside a record, printed to PDF beside it; stderr says where, or why it could not be."""
    page = record.with_name(f"{record.stem}.html" if lang == "en" else f"{record.stem}.{lang}.html")
    out = page.with_suffix(".pdf")
    with tempfile.TemporaryDirectory(prefix="photofinish-report-") as folder:
        printed = Path(folder) / "report.pdf"
        why_not = print_pdf(page.resolve(), printed, profile=Path(folder) / "profile")
        if not why_not:
            _write(out, printed.read_bytes())
    tell(f"{why_not}; {page} can be printed from any browser" if why_not else f"wrote {out}")


def print_pdf(html_path: Path, pdf_path: Path, *, profile: Path) -> str:
    """ "" when the PDF was written, else why not."""
    program = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if program is None:
        return "no Chromium was found on PATH"
    root = ("--no-sandbox",) if os.geteuid() == 0 else ()  # its sandbox refuses to run as root
    command = [program, *_FLAGS, *root, f"--user-data-dir={profile}", f"--print-to-pdf={pdf_path}", html_path.as_uri()]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PRINT_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as exc:
        return f"{program} could not print: {exc}"
    if done.returncode or not pdf_path.is_file():
        said = " ".join(done.stderr.split())[-200:]
        return f"{program} ended with {done.returncode} and no PDF ({said})"
    return ""


def _write(path: Path, content: str | bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as exc:
        raise ConfigError(f"{path} cannot be written: {said_of_file(exc)}; choose another place with --out") from exc
