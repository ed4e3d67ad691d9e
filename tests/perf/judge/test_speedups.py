"""Four speed-ups out of one comparison, and what is left out where it cannot be told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from photofinish.perf.judge.findings import findings_from_record
from photofinish.perf.judge.speedups import speed_ups
from photofinish.perf.judge.summary import summaries_from_section
from photofinish.perf.record.observation import Observation
from photofinish.perf.record.record import Section
from photofinish.perf.report.text import markdown_report
from tests.perf.records import build_comparison, build_record


def kinds(section: Section) -> dict[str, float]:
    return {item.kind: item.ratio for item in speed_ups(section, summaries_from_section(section))}


def test_all_four_stand_side_by_side_each_with_its_interval() -> None:
    section = build_comparison(medians=(20.0, 2.0))
    blocks = tuple(
        replace(
            block,
            observed=replace(block.observed, triton=replace(block.observed.triton, compute_infer_us=9_000.0)),
        )
        if block.arm == "baseline" and block.observed.triton
        else block
        for block in section.blocks
    )
    found = speed_ups(section, summaries_from_section(section))
    assert [item.kind for item in found] == ["engine", "server", "transport", "end_to_end"]
    assert all(item.interval and item.interval.low <= item.ratio <= item.interval.high for item in found)
    changed = kinds(replace(section, blocks=blocks))
    assert changed["engine"] == pytest.approx(9.0, rel=0.1)
    assert changed["end_to_end"] == pytest.approx(kinds(section)["end_to_end"])
    report = markdown_report(findings_from_record(build_record(sections=(section,))))
    assert "Other projects usually print one figure, that of the engine alone" in report


def test_without_the_servers_counters_only_the_whole_is_known() -> None:
    section = build_comparison()
    blocks = tuple(replace(block, observed=Observation()) for block in section.blocks)
    assert list(kinds(replace(section, blocks=blocks))) == ["end_to_end"]


def test_a_time_below_nothing_is_left_out() -> None:
    """The server counts the lead-in too: its mean can be longer than the client's."""
    section = build_comparison()
    blocks = tuple(replace(block, stages_ns={"wire": (1000,)}) for block in section.blocks)
    assert "transport" not in kinds(replace(section, blocks=blocks))


def test_a_paced_comparison_and_a_single_arm_have_none() -> None:
    section = build_comparison()
    assert not kinds(replace(section, load=replace(section.load, rate_rps=30.0)))
    assert not speed_ups(section, summaries_from_section(section)[:1])
