"""Each claim has a verdict of its own: what speaks against one arm or figure leaves the others alone."""

from __future__ import annotations

from dataclasses import replace

from photofinish.perf.judge.claims import Claim, are_medians_known
from photofinish.perf.judge.findings import Findings, findings_from_record, findings_from_section
from photofinish.perf.record.record import Block, Section
from photofinish.perf.report.charts import ladder_chart
from photofinish.perf.report.files import csv_report
from photofinish.perf.report.html import html_report
from photofinish.perf.report.sweep_tables import sweep_rows
from photofinish.perf.report.tables import comparison_rows, ladder_rows
from photofinish.perf.report.text import comparison_table, markdown_report, terminal_report
from photofinish.perf.report.words import ENGLISH
from photofinish.perf.statistics import Interval
from tests.perf.records import build_comparison, build_ladder, build_record, build_rivals, build_sweep


def _busy(section: Section, cores: float = 9.0) -> Section:
    """The section with other programs on as many of its 16 cores."""
    seen = (replace(block, observed=replace(block.observed, other_cpu_cores=cores)) for block in section.blocks)
    return replace(section, blocks=tuple(seen))


def _judged(*sections: Section) -> Findings:
    return findings_from_record(replace(build_record(sections=sections), limits={}))


def _slowed(section: Section, key: str, rounds: range) -> Section:
    """The section, one of whose arms takes twice as long in these rounds."""

    def slowed(block: Block) -> Block:
        if block.arm != key or block.round not in rounds:
            return block
        pairs = zip(block.samples.scheduled_ns, block.samples.done_ns, strict=True)
        done = tuple(due + 2 * (done - due) for due, done in pairs)
        return replace(block, samples=replace(block.samples, done_ns=done))

    return replace(section, blocks=tuple(map(slowed, section.blocks)))


def _drifting_rung(key: str) -> Section:
    return _slowed(build_ladder(), key, range(2, 100))


def test_medians_are_known_when_rounds_agree_and_not_when_one_side_jumps() -> None:
    for section, key in ((build_comparison(), "optimised"), (build_rivals(), "plain")):
        assert are_medians_known(section)
        assert not are_medians_known(_slowed(section, key, range(0, 100, 2)))


def test_every_gain_that_a_table_prints_is_a_claim() -> None:
    findings = _judged(build_comparison(), build_ladder(), build_sweep())
    assert findings.headline is not None
    assert findings.headline.value == findings.sections[0].summaries[1].gains["p50"].estimate  # type: ignore[union-attr]
    assert [(claim.kind, claim.figure) for claim in findings.sections[0].claims] == [
        ("gain", figure) for figure in ("frames_per_s", "mean", "p50", "p95", "gpu_memory", "map50_95")
    ]
    steps = [claim for claim in findings.sections[1].claims if (claim.kind, claim.figure) == ("step", "p50")]
    assert [(claim.against.rung, claim.arm.rung) for claim in steps if claim.arm and claim.against] == [
        ("baseline", "contract"),
        ("contract", "transport"),
        ("transport", "engine"),
        ("engine", "precision"),
        ("precision", "cuda_graphs"),
    ]
    assert [claim.kind for claim in findings.sections[2].claims] == ["figures"]
    assert findings.claims == tuple(claim for part in findings.verdict.parts for claim in part.claims)
    assert (findings.verdict.standing, findings.verdict.validity) == ("VALID", "VALID")


def test_what_speaks_against_one_rung_leaves_the_others_alone() -> None:
    findings = _judged(build_comparison(), _drifting_rung("engine"))
    void = {
        (claim.kind, claim.arm.rung, claim.figure)
        for claim in findings.sections[1].claims
        if claim.reasons and claim.arm and claim.figure in ("p50", "frames_per_s")
    }
    figures = ("p50", "frames_per_s")
    touching = [("gain", "engine"), ("step", "engine"), ("step", "precision")]
    assert void == {(kind, rung, figure) for kind, rung in touching for figure in figures}
    assert findings.headline is not None
    assert findings.headline.verdict == "VALID"
    assert (findings.verdict.standing, findings.verdict.falls_short) == ("PARTLY", True)
    page = html_report(findings)
    assert '<span class="pill partly">VALID in part</span>' in page
    assert "Nothing was found against these figures" in page
    assert "Not valid in this record: ladder (ONNX Runtime, FP16)." in page
    assert "VALID in part: ONNX Runtime FPS" in terminal_report(findings)


def test_two_rungs_that_part_are_found_though_each_stays_near_the_first() -> None:
    ladder = build_ladder()
    last = max(block.round for block in ladder.blocks)
    halves = [replace(block, round=block.round + half * (last + 1)) for half in range(4) for block in ladder.blocks]
    keys = [arm.key for arm in ladder.arms]
    parted = {keys[-2]: 1.13, keys[-1]: 0.88}

    def moved(block: Block) -> Block:
        factor = parted.get(block.arm, 1.0) if block.round > 2 * last + 1 else 1.0
        pairs = zip(block.samples.scheduled_ns, block.samples.done_ns, strict=True)
        done = tuple(due + round(factor * (done - due)) for due, done in pairs)
        return replace(block, samples=replace(block.samples, done_ns=done))

    found = _judged(build_comparison(), replace(ladder, blocks=tuple(map(moved, halves)))).sections[1]
    step = next(claim for claim in found.claims if claim.kind == "step" and claim.arm and claim.arm.key == keys[-1])
    assert "unstable" in {reason.key for reason in step.reasons}


def test_too_few_samples_for_a_p95_leave_the_median_alone() -> None:
    findings = _judged(build_comparison(count=10, rounds=5))
    assert findings.headline is not None
    assert findings.headline.verdict == "VALID"
    assert [reason.key for reason in findings.verdict.reasons] == ["few_samples", "few_samples"]
    assert findings.verdict.standing == "PARTLY"


def test_a_reason_that_touches_no_claim_is_not_lost() -> None:
    section = build_comparison()
    dead = tuple(
        replace(block, samples=replace(block.samples, failed=tuple(range(block.samples.request_count))))
        if block.arm == "optimised" else block
        for block in section.blocks
    )  # fmt: skip
    findings = _judged(replace(section, blocks=dead))
    assert "errors" in {reason.key for reason in findings.verdict.reasons}
    assert findings.verdict.falls_short


def test_other_programs_void_every_gain_in_every_report() -> None:
    findings = _judged(_busy(build_comparison()), _busy(build_ladder()), _busy(build_sweep()))
    assert findings.verdict.standing == "INVALID"
    # Memory and accuracy are no times: other programs on the CPU change neither.
    assert {claim.figure for claim in findings.claims if not claim.reasons} <= {"gpu_memory", "map50_95"}
    for section in findings.sections[:2]:
        table = comparison_rows(section, ENGLISH) if section.section.kind == "comparison" else ladder_rows(
            section, ENGLISH
        )  # fmt: skip
        assert all(row[-1].startswith("(") for row in table[1][1:]), table
    assert all(row[-1].startswith("(") for row in sweep_rows(findings.sections[2], ENGLISH)[1])
    gain = f"{findings.headline.value:.1f}×"  # type: ignore[union-attr]
    for text in (terminal_report(findings), markdown_report(findings)):
        assert gain in text
        assert text.count(gain) == text.count(f"({gain})")
        assert "do not quote it" in text
    page = html_report(findings)
    assert page.count(gain) == page.count(f'<span class="void">({gain})</span>')
    assert "lower median latency" not in page
    assert not [line for line in csv_report(findings).splitlines()[1:] if line.rpartition(",")[2] == "VALID"]


def test_other_programs_beside_one_side_alone_void_it_and_are_named() -> None:
    section = build_comparison()
    seen = {"other_cpu_cores": 4.0, "other_programs": (("gcc", 3.0), ("node", 0.9))}
    blocks = tuple(
        replace(block, observed=replace(block.observed, **seen)) if block.arm == "baseline" else block
        for block in section.blocks
    )  # fmt: skip
    found = findings_from_section(replace(section, blocks=blocks), cores=16)
    assert [reason.key for reason in found.disturbances] == ["foreign_cpu"], "2.0 of 16 cores over both sides"
    table = comparison_table(found)
    assert "other programs used 4.0 of 16 cores (gcc 3.0, node 0.9), which slows one side more" in table
    assert "stop them and measure again" in table
    assert "do not quote it" in table


def test_a_rung_that_shows_no_difference_has_no_gain_beside_its_bar() -> None:
    same = replace(build_comparison(medians=(5.0, 5.0)), kind="ladder", name="ladder")
    arms = tuple(replace(arm, rung=rung) for arm, rung in zip(same.arms, ("baseline", "precision"), strict=True))
    found = findings_from_section(replace(same, arms=arms), cores=16)
    (step,) = [step for step in found.steps if step.latency]
    assert step.latency is not None
    assert not step.latency.shows_difference
    assert "×" not in ladder_chart(found, ENGLISH)
    row = ladder_rows(found, ENGLISH)[1][1]
    assert (row[5], row[6].startswith("no difference shown"), row[8].startswith("no difference")) == ("–", True, True)
    assert ladder_chart(findings_from_section(build_ladder(), cores=16), ENGLISH).count("×") == 5
    assert "×" not in ladder_chart(findings_from_section(_busy(build_ladder()), cores=16), ENGLISH)


def test_a_gain_that_is_printed_as_one_is_no_difference() -> None:
    """`1.00×`, or `1.08× [1.00, 1.17]`, beside the claim of a gain read as a contradiction."""
    section = build_comparison()
    claim = Claim(kind="gain", section=section, figure="p50", value=1.08, interval=_interval(1.004, 1.08, 1.17))
    assert not claim.shows_difference
    assert not replace(claim, value=1.001, interval=None).shows_difference, "equal samples have no interval"
    assert replace(claim, interval=_interval(1.006, 1.08, 1.17)).shows_difference
    assert replace(claim, value=0.9, interval=_interval(0.85, 0.9, 0.994)).shows_difference
    assert not replace(claim, value=0.99, interval=_interval(0.98, 0.99, 0.9996)).shows_difference


def _interval(low: float, estimate: float, high: float) -> Interval:
    return Interval(low=low, estimate=estimate, high=high)


def test_a_tail_that_a_few_disturbed_rounds_made_is_no_gain() -> None:
    """Other programs in two rounds of twenty are a tenth of the time, and the whole P95 of the slower side."""
    section = build_comparison(rounds=20)
    found = _judged(_slowed(section, "baseline", range(18, 20))).sections[0]
    assert not any(claim.reasons for claim in found.claims), "twice as long: the interval is told"
    slower = _slowed(_slowed(_slowed(section, "baseline", range(18, 20)), "baseline", range(18, 20)), "baseline",
                     range(18, 20))  # fmt: skip
    gains = {claim.figure: [reason.key for reason in claim.reasons] for claim in _judged(slower).sections[0].claims}
    assert (gains["p50"], gains["frames_per_s"], gains["p95"]) == ([], [], ["loose_tail"])
    assert "the gain in P95 is known only to within" in markdown_report(_judged(slower))


def test_a_part_about_another_network_voids_that_part() -> None:
    """Two runs put together by hand: the ladder and the rivals of a larger network beside the claim of a small one."""
    other = {"weights": "yolo26m.pt", "weights_sha256": "cd" * 32}
    ladder, rivals = (
        replace(part, arms=tuple(replace(arm, **other) for arm in part.arms))  # type: ignore[arg-type]
        for part in (build_ladder(), build_rivals())
    )
    assert _judged(build_comparison(), build_ladder(), build_rivals()).verdict.standing == "VALID"
    findings = _judged(build_comparison(), ladder, rivals)
    assert findings.verdict.standing == "PARTLY"
    assert [{reason.key for reason in part.reasons} for part in findings.verdict.parts] == [
        set(), {"networks"}, {"networks"}
    ]  # fmt: skip


def test_a_variant_that_the_gate_refused_has_no_gain() -> None:
    section = build_comparison()
    arms = (section.arms[0], replace(section.arms[1], accuracy={"map50_95": 0.1, "passed": False}))
    findings = _judged(replace(section, arms=arms))
    assert findings.verdict.standing == "INVALID"
    assert "fell below its accuracy floor" in markdown_report(findings)


def test_accuracies_of_two_data_sets_are_not_compared() -> None:
    section = build_comparison()
    arms = tuple(
        replace(arm, accuracy={**arm.accuracy, "dataset_sha256": name})
        for arm, name in zip(section.arms, ("a", "b"), strict=True)
    )
    found = _judged(replace(section, arms=arms)).sections[0]
    assert "map50_95" not in [claim.figure for claim in found.claims]


def test_rounds_count_where_both_sides_have_them() -> None:
    section = build_comparison()
    shifted = (replace(item, round=item.round + 5) if item.arm == "optimised" else item for item in section.blocks)
    found = _judged(replace(section, blocks=tuple(shifted)))
    assert "few_rounds" in [reason.key for reason in found.verdict.reasons]
    assert found.verdict.standing == "INVALID"


def test_a_limit_is_not_kept_by_a_gain_that_is_void() -> None:
    limits = {"min_speedup": 3.0, "min_fps": 100.0, "min_map": 0.99}
    for section, outcomes in (
        (build_comparison(), ["PASS", "PASS", "PASS"]),
        (_busy(build_comparison()), ["INCONCLUSIVE", "INCONCLUSIVE", "PASS"]),
    ):
        verdict = findings_from_record(replace(build_record(sections=(section,)), limits=limits)).verdict
        assert [item.outcome for item in verdict.limits] == outcomes
