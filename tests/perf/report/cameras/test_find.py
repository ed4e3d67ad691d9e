"""A search as a check list, in Markdown and as a page."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from photofinish.perf.cameras.finding import search_on
from photofinish.perf.cameras.search import NextStep
from photofinish.perf.record.find import FindProbe, FindRecord, write_find_record
from photofinish.perf.report.cameras.find import find_html, find_markdown, find_text, text_of_file
from tests.perf.cameras.steps import find_record, machine_step


def searched(capacity: float, sessions: int = 0, **fields: float) -> FindRecord:
    """sessions: so many cameras are decoded by a GPU, the others by the CPU, and the GPU was asked for all."""

    def run(step: NextStep) -> FindProbe:
        frames = 3000 if step.purpose == "confirm" else 300
        made = machine_step(step.cameras, capacity, frames=frames)
        is_late = step.cameras > fields.get("late_above", 1e9)
        apart = ("test-005",) if step.purpose == "reconnects" else ()
        if sessions:
            rows = [replace(row, decode="gpu" if at < sessions else "cpu") for at, row in enumerate(made.rows)]
            limit = sessions if step.cameras > sessions else None
            made = replace(made, rows=tuple(rows), session_limit=limit)
        return FindProbe(purpose=step.purpose, step=replace(made, late_p99_ms=9.0 if is_late else 1.0), apart=apart)

    goal = {"p99_ms": 150.0, "max_drops": 0.01, "min_gpu_decode": float(bool(sessions))}
    return search_on(find_record(goal=goal), run, seconds_left=lambda: 1e9, on_probe=lambda found, item: None)


@pytest.fixture(scope="module")
def found() -> FindRecord:
    return searched(37)


def test_the_list_of_a_whole_search(found: FindRecord) -> None:
    lines = find_text(found).splitlines()
    assert lines[0] == "37 cameras, and 41 are too many"
    assert "1280 x 720 h264 at 25 frames/s, 5 of them inferred by toy" in lines[1]
    marks = [line[0] for line in lines[3:9]]
    assert marks == ["✓"] * 6
    names = ("cameras", "confirmation", "a tenth more misses", "first wall", "all keyframes", "a fifth cut")
    for line, name in zip(lines[3:9], names, strict=True):
        assert line[2:].startswith(name)
    assert "NVDEC, at 41 cameras" in find_text(found)
    assert "those that were cut, 1, do not count" in find_text(found)


def test_markdown_and_page_say_the_same(found: FindRecord) -> None:
    assert find_markdown(found).startswith("# 37 cameras, and 41 are too many\n")
    page = find_html(found)
    parser = HTMLParser()
    parser.feed(page)
    assert "<title>37 cameras, and 41 are too many</title>" in page
    assert "<script" not in page
    assert page.count("<tr>") == 6 + 1 + len(found.probes)


def test_sessions_end_a_search_that_wants_all_on_the_gpu(found: FindRecord) -> None:
    record = searched(37, sessions=20)
    text = find_text(record)
    lines = text.splitlines()
    assert lines[0] == "20 cameras, and 22 are too many"
    assert lines[1].endswith("at most 1 % dropped, all decoded by sessions of a GPU.")
    assert "✓ decode                     20 by a GPU" in lines
    assert "first wall                 sessions, at 22 cameras (the GPU opened 20 decoders and no more)" in text
    assert "20 by a GPU, 2 by the CPU: not all by sessions of a GPU" in text
    assert "| GPU | CPU | keyframes | why |" in find_markdown(record)
    row = next(line for line in find_markdown(record).splitlines() if line.startswith("| a tenth more | 22 |"))
    assert "| 20 | 2 | 0 | 20 by a GPU, 2 by the CPU" in row
    assert "keyframes | why" not in find_markdown(found), "an older record does not tell"


def test_a_generator_that_is_late_leaves_at_least(found: FindRecord) -> None:
    text = find_text(searched(1000, late_above=20))
    assert text.startswith("At least 20 cameras")
    assert "first wall                 generator, at 21 cameras" in text
    assert "? void steps" in text


def test_searches_that_found_nothing_or_are_not_over() -> None:
    assert find_text(searched(0.5)).startswith("Not one camera holds the goal")
    void = searched(1000, late_above=0)
    assert find_text(void).startswith("Nothing can be said of this machine: every step was void")
    fresh = find_record()
    assert find_text(fresh).startswith("Not finished: 0 cameras held a probe so far")
    assert "? confirmation               not run yet" in find_text(fresh)


def test_a_file_is_drawn_again(found: FindRecord, tmp_path: Path) -> None:
    path = tmp_path / "find.json"
    write_find_record(found, path)
    text = text_of_file(path, path)
    assert text.startswith("37 cameras")
    assert (tmp_path / "find.md").read_text(encoding="utf-8") == find_markdown(found)
    assert (tmp_path / "find.html").exists()
