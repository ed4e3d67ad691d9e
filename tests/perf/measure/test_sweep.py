"""What becomes of a sweep when perf_analyzer fails."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from photofinish.perf.measure import sweep
from photofinish.perf.measure.perf_analyzer_program import PerfAnalyzerError
from photofinish.perf.measure.sweep import Cell
from photofinish.perf.record.record import Section
from photofinish.perf.report.words import ENGLISH
from tests.perf.records import build_record

MODEL: Any = SimpleNamespace(name="toy")


def section_after(monkeypatch: pytest.MonkeyPatch, answers: list[Any]) -> tuple[Section, list[str]]:
    """An empty sweep after perf_analyzer gave the answers, errors among them, in turn."""
    full = next(item for item in build_record().sections if item.kind == "sweep")
    arm = next(item for item in full.arms if item.generator == "perf_analyzer")
    block = full.blocks_of(arm.key)[0]

    def run(*_: object) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return arm, block

    monkeypatch.setattr(sweep, "_run_perf_analyzer", run)
    said: list[str] = []
    empty = Section(kind="sweep", name="sweep", load=full.load, arms=(), blocks=(), not_run=(), complete=False)
    unused: Any = None
    after = sweep._with_perf_analyzer(
        empty, unused, unused, Cell(MODEL, 1, 1), unused, unused, 1.0, Path(), said.append
    )
    return after, said


def test_an_empty_profile_is_asked_for_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    after, said = section_after(monkeypatch, [PerfAnalyzerError("empty profile"), "fine"])
    assert len(after.arms) == len(after.blocks) == 1
    assert after.not_run == ()
    assert "try 1 of 2: empty profile" in said[0]


def test_what_fails_twice_is_named_and_the_sweep_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    after, _ = section_after(monkeypatch, [PerfAnalyzerError("empty profile"), PerfAnalyzerError("empty again")])
    assert after.arms == ()
    assert ENGLISH.subject(after.not_run[0]) == "perf_analyzer, toy at concurrency 1"
    assert ENGLISH.why(after.not_run[0]) == "empty again"


class Time:
    """Time for so many numbers in flight."""

    def __init__(self, levels: int) -> None:
        self.levels = levels

    def has_room_for(self, rates_rps: list[float]) -> bool:
        assert rates_rps == [10.0, 20.0]
        self.levels -= 1
        return self.levels > 0

    def row_s(self, rate_rps: float, *, rows_of_level: int, rows: int) -> float:
        return rows_of_level + rows / 100


@pytest.mark.parametrize(
    ("levels", "run", "left_out"),
    [(3, [1, 8, 4], []), (2, [1, 8], [4]), (1, [1], [8, 4])],
)
def test_numbers_in_flight_are_left_out_whole_and_named(levels: int, run: list[int], left_out: list[int]) -> None:
    """The fewest in flight come first, then the most."""
    other: Any = SimpleNamespace(name="other")
    cells = [Cell(model, 1, level) for model in (MODEL, other) for level in (1, 4, 8)]
    time: Any = Time(levels)
    rows = sweep._Rows(cells, time)
    seen = []
    for cell in rows.in_time():
        seen.append((cell.model.name, cell.concurrency))
        assert rows.row_s(cell, 5.0) >= 1
        rows.done(cell, 10.0 if cell.model is MODEL else 20.0)
    assert seen == [(name, level) for level in run for name in ("toy", "other")]
    assert [item.concurrency for item in rows.left_out] == left_out
    for item in rows.left_out:
        assert ENGLISH.subject(item) == f"{item.concurrency} in flight"
        assert "raise --minutes" in ENGLISH.why(item)


def test_without_a_budget_the_rows_come_as_they_were_asked_for() -> None:
    cells = [Cell(MODEL, 1, level) for level in (4, 1, 8)]
    assert list(sweep._Rows(cells, None).in_time()) == cells
