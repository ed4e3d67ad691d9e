"""Every committed record, whatever schema wrote it, draws today what was reviewed when it was committed.

Markdown stands beside the record; of the other reports, which say the same, golden/committed.json holds digests.
PHOTOFINISH_UPDATE_GOLDEN=1 writes all of them anew; look at the difference.
"""

from __future__ import annotations

import hashlib
import json
import os
from functools import cache
from pathlib import Path

import pytest

from photofinish.perf.judge.findings import Findings, findings_from_record
from photofinish.perf.record.record import read_record
from photofinish.perf.report.files import csv_report
from photofinish.perf.report.html import html_report
from photofinish.perf.report.text import markdown_report, terminal_report
from tests.conftest import CHECKOUT

RECORDS = {
    path.name.partition(".")[0]: path
    for path in (
        *sorted((CHECKOUT / "results").glob("*.json.gz")),
        CHECKOUT / "tests/perf/record/data/record_v1.json",
    )
}
DIGESTS = Path(__file__).parent / "golden" / "committed.json"
UPDATES = bool(os.environ.get("PHOTOFINISH_UPDATE_GOLDEN"))


@cache
def read(name: str) -> Findings:
    return findings_from_record(read_record(RECORDS[name]))


def digests(name: str) -> dict[str, str]:
    """Of every report but the English Markdown, by its file's ending."""
    findings = read(name)
    texts = {
        "csv": csv_report(findings),
        "html": html_report(findings),
        "txt": terminal_report(findings),
        "zh.html": html_report(findings, lang="zh"),
        "zh.md": markdown_report(findings, lang="zh"),
        "zh.txt": terminal_report(findings, lang="zh"),
    }
    return {ending: hashlib.sha256(text.encode()).hexdigest()[:16] for ending, text in texts.items()}


@pytest.mark.parametrize("name", [name for name, path in RECORDS.items() if path.suffix == ".gz"])
def test_a_committed_record_draws_the_markdown_beside_it(name: str) -> None:
    beside = RECORDS[name].with_name(f"{name}.md")
    drawn = markdown_report(read(name))
    if UPDATES:
        beside.write_text(drawn, encoding="utf-8")
    assert drawn == beside.read_text(encoding="utf-8"), f"{beside} has changed; see this file's first lines"


@pytest.mark.parametrize("name", RECORDS)
def test_its_other_reports_are_those_that_were_reviewed(name: str) -> None:
    reviewed: dict[str, dict[str, str]] = json.loads(DIGESTS.read_text(encoding="utf-8"))
    found = digests(name)
    if UPDATES:
        reviewed[name] = found
        DIGESTS.write_text(json.dumps(reviewed, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    assert found == reviewed[name]
