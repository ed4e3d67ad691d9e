"""Every figure of the pages is what its record says, and a figure without a record is found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from photofinish.perf.statistics import Interval
from tests.docs import figures
from tests.docs.evidence import Evidence, shown
from tests.docs.figures import checked, main, pages
from tests.docs.pages import CHECKOUT, read, without_comments

RECORDS = Evidence(CHECKOUT / "results")
PAGE = """# A page

It took 12.5 ms, and the limit is 20 ms.

| | first | second |
| --- | ---: | ---: |
| a | 1.50 | 2.00× |

<!-- figures
r = old.rows
12.5 ms: r.a.p50_ms
given: 20 ms
columns: | r.{}.p95_ms | r.{}.p95_ms / r.{}.first_ms
rows: a
-->
"""


@pytest.fixture
def evidence(tmp_path: Path) -> Evidence:
    for name, scale in (("old", 1), ("new", 2)):
        rows = [{"name": "x_a", "p50_ms": 12.5 * scale, "p95_ms": 1.5 * scale, "first_ms": 0.75}]
        (tmp_path / f"{name}.json").write_text(json.dumps({"rows": rows}))
    return Evidence(tmp_path)


def faults(text: str, evidence: Evidence) -> list[str]:
    return [fault for section in checked("page.md", text, evidence) for fault in section.faults]


@pytest.mark.parametrize("page", pages())
def test_the_figures_of_a_page_are_those_of_its_records(page: str) -> None:
    found = faults(read(page), RECORDS)
    assert not found, "\n".join([*found, f"`make figures ARGS='--write {page}'` draws what is stale again"])


def test_pages_without_measurements_are_read_too() -> None:
    assert {"README.md", "docs/decisions.md", "docs/deploy.md", "export/weights/README.md"} <= set(pages())


def test_a_page_that_agrees_has_no_faults(evidence: Evidence) -> None:
    assert faults(PAGE, evidence) == []
    assert without_comments(PAGE).endswith("2.00× |\n\n")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("12.5", "12.4", "'12.4 ms' is stale: r.a.p50_ms is '12.5 ms'"),
        ("1.50", "1.49", "'1.49' is stale"),
        ("2.00×", "2.01×", "'2.01×' is stale"),
        ("given: 20 ms\n", "", "line 3: '20 ms' names no record"),
        ("columns: | r.{}.p95_ms | ", "columns: | | ", "line 7: '1.50' names no record"),
        ("It took", "It took 3.1× as long:", "line 3: '3.1×' names no record"),
        ("rows: a", "rows: a | a", "a table has 1 rows, its comment has 2"),
        ("r.a.p50_ms", "r.a.p51_ms", "cannot be read"),
        ("r.a.p50_ms", "gone.rows", "cannot be read"),
        ("given: 20 ms", "no record: 20 ms", "'20 ms' has no record, which its section must say"),
        ("given: 20 ms", "given: 21 ms", "'21 ms' does not stand in its section"),
    ],
)
def test_what_is_wrong_is_found(evidence: Evidence, old: str, new: str, said: str) -> None:
    text = PAGE.replace(old, new) if old != "12.5" else PAGE.replace("12.5 ms", "12.4 ms")
    assert any(said in fault for fault in faults(text, evidence)), faults(text, evidence)


def test_a_page_is_drawn_from_another_record(
    evidence: Evidence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "CHECKOUT", tmp_path)
    monkeypatch.setattr(figures, "Evidence", lambda folder: evidence)
    (tmp_path / "page.md").write_text(PAGE + "\nIts [record](results/old.json).\n")
    result = CliRunner().invoke(main, ["--write", "--use", "old=new", "page.md"])
    assert result.exit_code == 0, result.output
    text = (tmp_path / "page.md").read_text()
    assert "It took 25.0 ms, and the limit is 20 ms." in text
    assert "| a | 3.00 | 4.00× |" in text
    assert "r = new.rows\n25.0 ms: r.a.p50_ms" in text
    assert "results/new.json" in text


def test_a_figure_keeps_the_digits_it_had() -> None:
    interval = Interval(estimate=8.4321, low=8.1, high=8.75)
    assert shown("1.00× [1, 2]", interval) == "8.43× [8, 9]"
    assert shown("7.90×", interval) == "8.43×"
    assert shown("5,380 images a second", 5379.5) == "5,380 images a second"
    assert shown("0.61", 0.7249) == "0.72"
    assert shown("–", None) == "–"
    assert shown("8986 (3.44×)", (16510.2, 4.062)) == "16510 (4.06×)"
    with pytest.raises(ValueError, match="has 3 numbers"):
        shown("1 [2, 3]", 4.0)


def test_an_expression_reads_and_runs_nothing_else(evidence: Evidence) -> None:
    for expression in ("__import__('os')", "open('x')", "[1 for _ in (1,)]", "old.rows.__class__"):
        with pytest.raises((LookupError, AttributeError, TypeError, FileNotFoundError)):
            evidence.value(expression, {})


def test_a_gain_that_is_not_valid_is_not_quoted() -> None:
    with pytest.raises(ValueError, match="INVALID in its record"):
        RECORDS.value("h100_yolo26n.paced_5.optimised.gain_p50", {})
    assert RECORDS.value("h100_bridge_yolo26n.comparison.baseline.gain_p50", {}) == 1.0
