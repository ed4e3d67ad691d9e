"""VALID or INVALID, PASS, FAIL or INCONCLUSIVE: each reason made to appear."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from photofinish.errors import ConfigError
from photofinish.perf.judge.findings import findings_from_record
from photofinish.perf.record.observation import POWER_CAP, GpuObservation
from photofinish.perf.record.record import TIME_UP, Harness, Record, Section
from photofinish.perf.report.html import html_report
from photofinish.perf.report.order import method_notes, verdict_parts
from photofinish.perf.report.page.first import ClaimLine, first_screen
from photofinish.perf.report.words import ENGLISH, LANGUAGES, Words
from tests.perf.records import build_comparison, build_ladder, build_record


def _headline(record: Record) -> ClaimLine:
    (line,) = first_screen(findings_from_record(record), ENGLISH).lines
    return line


def _with_section(section: Section) -> Record:
    return replace(build_record(sections=(section,)), limits={})


def _with_observed(**changes: object) -> Record:
    section = build_comparison()
    blocks = tuple(replace(block, observed=replace(block.observed, **changes)) for block in section.blocks)
    return _with_section(replace(section, blocks=blocks))


def _gpu(**changes: object) -> tuple[GpuObservation, ...]:
    return (replace(GpuObservation(index=0, name="Toy"), **changes),)


def _failing(share: float) -> Record:
    section = build_comparison()
    blocks = []
    for block in section.blocks:
        failed = tuple(range(int(share * block.samples.request_count)))
        blocks.append(replace(block, samples=replace(block.samples, failed=failed)))
    return _with_section(replace(section, blocks=tuple(blocks)))


def _late() -> Record:
    section = build_comparison()
    blocks = []
    for block in section.blocks:
        late = tuple(time_ns + 20_000_000 for time_ns in block.samples.scheduled_ns)
        blocks.append(replace(block, samples=replace(block.samples, sent_ns=late)))
    load = replace(section.load, mode="open", rate_rps=1.0)
    return _with_section(replace(section, load=load, blocks=tuple(blocks)))


def _drifting() -> Record:
    section = build_comparison()
    slower = build_comparison(medians=(30.6, 2.26))
    blocks = (*section.blocks[:6], *slower.blocks[6:])
    return _with_section(replace(section, blocks=blocks))


def _scattered() -> Record:
    """Blocks of the second side that differ by a factor of two, without a trend."""
    sections = [build_comparison(medians=(24.7, median)) for median in (2.26, 4.5)]
    blocks = [section.blocks for section in sections]
    mixed = tuple(pair[block % 4 // 2] for block, pair in enumerate(zip(*blocks, strict=True)))
    return _with_section(replace(sections[0], blocks=mixed))


CASES: dict[str, Callable[[], Record]] = {
    "empty": lambda: build_record(sections=()),
    "cut_off": lambda: _with_section(replace(build_comparison(), complete=False)),
    "incomplete": lambda: _with_section(replace(build_comparison(), complete=False, stopped_by="Ctrl-C")),
    "no_time": lambda: _with_section(replace(build_comparison(), complete=False, stopped_by=TIME_UP)),
    "networks": lambda: _with_section(
        replace(
            build_comparison(),
            arms=(build_comparison().arms[0], replace(build_comparison().arms[1], weights_sha256="ef" * 32)),
        )
    ),
    "errors": lambda: _failing(0.1),
    "few_rounds": lambda: _with_section(build_comparison(rounds=4, count=60)),
    "few_samples": lambda: _with_section(build_comparison(count=10)),
    "late_sender": _late,
    "unstable": _drifting,
    "imprecise": _scattered,
    "harness": lambda: replace(
        _with_section(build_comparison()), harness=Harness(closed_loop_p95_ns=900_000, open_loop_p95_ns=0)
    ),
    "throttled": lambda: _with_observed(gpus=_gpu(throttle_reasons=("slowdown", POWER_CAP))),
    "foreign_gpu": lambda: _with_observed(gpus=_gpu(foreign_processes=2)),
    "foreign_cpu": lambda: _with_observed(other_cpu_cores=7.5),
}


@pytest.mark.parametrize("key", CASES)
def test_each_reason_to_doubt_is_found_and_said(key: str) -> None:
    verdict = findings_from_record(CASES[key]()).verdict
    assert verdict.validity == "INVALID"
    assert verdict.falls_short
    assert {reason.key for reason in verdict.reasons} == {key}
    for lang in LANGUAGES:
        said = [part.text for part in verdict_parts(verdict, Words(lang))]
        assert len(said) >= 3
        assert not any("{" in text for text in said)


def test_a_part_that_had_no_time_is_told_in_the_reader_s_language() -> None:
    """Nobody stopped it, and to run it again the same way would end the same way."""
    told = {
        lang: " ".join(
            part.text for part in verdict_parts(findings_from_record(CASES["no_time"]()).verdict, Words(lang))
        )
        for lang in LANGUAGES
    }
    assert "对比：尚未开始，时间就已用完；请增大 --minutes" in told["zh"]
    assert "the time was up before its first round; raise --minutes" in told["en"]
    assert "again" not in told["en"]


def test_a_machine_that_slows_both_sides_alike_voids_no_gain_and_is_told() -> None:
    """Its blocks were taken in turn: a clock that falls by a third half-way is in every arm's median alike."""
    section, slower = build_comparison(), build_comparison(medians=(24.7 * 1.33, 2.26 * 1.33))
    findings = findings_from_record(_with_section(replace(section, blocks=(*section.blocks[:6], *slower.blocks[6:]))))
    assert findings.verdict.validity == "VALID"
    (told,) = [note for note in method_notes(findings, ENGLISH) if "changed its speed" in note]
    assert "comparison +3" in told
    for record in (_with_section(section), _drifting()):
        assert not any("changed its speed" in note for note in method_notes(findings_from_record(record), ENGLISH))


def test_each_part_is_judged_for_itself() -> None:
    ladder = replace(build_ladder(), complete=False, stopped_by="Ctrl-C")
    record = replace(build_record(sections=(build_comparison(), ladder)), limits={})
    verdict = findings_from_record(record).verdict
    assert [(part.name, part.validity) for part in verdict.parts] == [("comparison", "VALID"), ("ladder", "INVALID")]
    assert verdict.validity == "INVALID"
    assert (verdict.is_valid("comparison"), verdict.is_valid("ladder"), verdict.is_valid("sweep")) == (
        True, False, False,
    )  # fmt: skip
    assert _headline(record).gain.startswith("10.")
    for lang, said in (("en", ["comparison", "VALID", "ladder", "INVALID"]), ("zh", ["对比", "有效", "阶梯", "无效"])):
        table = next(part.table for part in verdict_parts(verdict, Words(lang)) if part.table)
        assert [cell for row in table[1] for cell in row] == said
        page = html_report(findings_from_record(record), lang=lang)
        assert [text in page for text in said] == [True] * 4
    assert "Not valid in this record: ladder" in first_screen(findings_from_record(record), ENGLISH).trust


def test_a_gpu_at_its_power_limit_is_told_and_voids_nothing() -> None:
    record = _with_observed(gpus=_gpu(throttle_reasons=(POWER_CAP,)))
    assert findings_from_record(record).verdict.validity == "VALID"
    blocks = len(record.sections[0].blocks)
    (said,) = [note for note in method_notes(findings_from_record(record), ENGLISH) if "power limit" in note]
    assert f"in {blocks} of {blocks} blocks" in said
    assert not any(
        "power limit" in note for note in method_notes(findings_from_record(_with_observed(gpus=_gpu())), ENGLISH)
    )


def test_a_clean_run_is_valid() -> None:
    verdict = findings_from_record(_with_section(build_comparison())).verdict
    assert (verdict.validity, verdict.reasons, verdict.outcome, verdict.falls_short) == ("VALID", (), None, False)


@pytest.mark.parametrize(
    ("limits", "outcome"),
    [
        ({"min_speedup": 5.0}, "PASS"),
        ({"min_speedup": 50.0}, "FAIL"),
        ({"min_speedup": 10.9}, "INCONCLUSIVE"),
        ({"p95_ms": 5.0}, "PASS"),
        ({"p95_ms": 1.0}, "FAIL"),
        ({"p99_ms": 5.0}, "INCONCLUSIVE"),
        ({"min_fps": 100.0}, "PASS"),
        ({"min_fps": 1000.0}, "FAIL"),
        ({"min_map": 0.99}, "PASS"),
        ({"min_map": 0.999}, "FAIL"),
        ({"max_gpu_memory_mib": 600.0}, "PASS"),
        ({"max_gpu_memory_mib": 500.0}, "FAIL"),
        ({"min_speedup": 5.0, "p95_ms": 1.0}, "FAIL"),
        ({"min_speedup": 5.0, "p99_ms": 5.0}, "INCONCLUSIVE"),
    ],
)
def test_limits_pass_fail_or_stay_open(limits: dict[str, float], outcome: str) -> None:
    verdict = findings_from_record(replace(_with_section(build_comparison()), limits=limits)).verdict
    assert verdict.validity == "VALID"
    assert verdict.outcome == outcome
    assert verdict.falls_short == (outcome == "FAIL")


@pytest.mark.parametrize("limits", [{"min_speedup": 5.0}, {"p95_ms": 5.0}, {"min_fps": 1.0}])
def test_one_block_a_side_decides_no_limit(limits: dict[str, float]) -> None:
    section = replace(build_comparison(rounds=1, count=200), complete=False, stopped_by="Ctrl-C")
    verdict = findings_from_record(replace(_with_section(section), limits=limits)).verdict
    assert [(item.found, item.outcome) for item in verdict.limits] == [(None, "INCONCLUSIVE")]


def test_an_unknown_limit_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown limit 'p96_ms'"):
        findings_from_record(replace(_with_section(build_comparison()), limits={"p96_ms": 1.0}))


def test_an_arm_that_cannot_keep_up_is_said_not_called_unstable() -> None:
    section = build_comparison()
    record = _with_section(replace(section, load=replace(section.load, mode="open", rate_rps=100.0)))
    assert not [reason for reason in findings_from_record(record).verdict.reasons if reason.key == "unstable"]


def test_the_headline_claims_no_more_than_was_shown() -> None:
    assert _headline(_with_section(build_comparison())).gain.startswith("10.")
    same = _headline(_with_section(build_comparison(medians=(5.0, 5.0))))
    assert same.gain == "no difference shown"
    slower = _headline(_with_section(build_comparison(medians=(5.0, 10.0))))
    assert slower.gain.startswith(("1.9", "2.0"))
    assert slower.gain.endswith("× slower")
    equal = build_comparison()
    blocks = tuple(replace(block, samples=equal.blocks[0].samples) for block in equal.blocks)
    assert _headline(_with_section(replace(equal, blocks=blocks))).gain == "no difference shown"
    assert first_screen(findings_from_record(build_record(sections=())), ENGLISH).lines == ()
    assert _headline(_drifting()) == ClaimLine(said="Not valid: no gain is claimed", is_void=True)
