"""A record is judged once, and every report is drawn from what was found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from photofinish.perf.judge import summary
from photofinish.perf.judge.findings import findings_from_record, findings_from_section
from photofinish.perf.record.record import Section
from photofinish.perf.report.files import csv_report
from photofinish.perf.report.html import html_report
from photofinish.perf.report.text import comparison_table, markdown_report, terminal_report
from tests.perf.records import build_comparison, build_ladder, build_record, build_sweep, full_record


def test_reports_compute_nothing_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    summed_up: list[str] = []
    one = summary._summary
    monkeypatch.setattr(summary, "_summary", lambda *arguments: summed_up.append("arm") or one(*arguments))
    findings = findings_from_record(full_record())
    arms = sum(len(section.arms) for section in findings.record.sections)
    assert len(summed_up) == arms
    monkeypatch.setattr(summary, "ratio_interval", lambda *_: pytest.fail("an interval was drawn again"))
    csv_report(findings)
    for lang in ("en", "zh"):
        for draw in (terminal_report, markdown_report, html_report):
            assert draw(findings, lang=lang)
    assert len(summed_up) == arms


def test_each_step_of_a_ladder_is_set_against_the_one_before() -> None:
    found = findings_from_section(build_ladder(), cores=16)
    first, second, *_ = found.steps
    assert (first.bought_ns, first.latency, first.rate) == (None, None, None)
    before, after = (step.summary.latency["p50"] for step in (first, second))
    assert before is not None
    assert after is not None
    assert second.bought_ns == before - after
    assert second.latency is not None
    assert second.rate is not None
    assert second.latency.value == before / after
    assert second.rate.value == pytest.approx(second.summary.frames_per_s / first.summary.frames_per_s)
    assert second.latency.interval is not None
    assert not second.latency.interval.holds(1.0)
    assert findings_from_section(build_comparison(), cores=16).steps == ()


def test_generators_that_disagree_are_found_and_those_that_agree_are_not() -> None:
    assert findings_from_section(_sweep(1.05), cores=16).disagreements == ()
    found = findings_from_section(_sweep(1.5), cores=16).disagreements
    assert len(found) == 4
    assert all(item.arm.generator == "perf_analyzer" and 1.4 < item.ratio < 1.6 for item in found)


def _sweep(ratio: float) -> Section:
    """A sweep in which perf_analyzer saw the requests of our own loop take so much longer."""
    sweep = build_sweep()
    own = {arm.key: sweep.blocks_of(arm.key)[0].samples for arm in sweep.arms if arm.generator == "photofinish"}
    blocks = []
    for block in sweep.blocks:
        samples = own[block.arm.replace("perf_analyzer", "photofinish")]
        if block.arm not in own:
            times = zip(samples.scheduled_ns, samples.done_ns, strict=True)
            samples = replace(samples, done_ns=tuple(due + int(ratio * (done - due)) for due, done in times))
        blocks.append(replace(block, samples=samples))
    return replace(sweep, blocks=tuple(blocks))


def test_a_section_by_itself_says_what_disturbed_it() -> None:
    section = build_comparison()
    busy = tuple(replace(block, observed=replace(block.observed, other_cpu_cores=8.0)) for block in section.blocks)
    found = findings_from_section(replace(section, blocks=busy), cores=16)
    assert [reason.key for reason in found.disturbances] == ["foreign_cpu"]
    assert "other programs used 8.0 of 16 cores" in comparison_table(found)
    assert findings_from_section(section, cores=16).disturbances == ()


def test_a_record_without_a_comparison_has_no_primary_section() -> None:
    assert findings_from_record(build_record(sections=())).primary is None
    assert findings_from_record(replace(build_record(sections=(build_ladder(),)), limits={})).primary is None
    findings = findings_from_record(build_record())
    assert findings.primary is findings.sections[0]
