"""The first screen: who reads nothing else knows what was compared, on what, by how much, and whether to believe it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from photofinish.perf.judge.findings import Findings, findings_from_record
from photofinish.perf.record.observation import GpuObservation, Observation
from photofinish.perf.record.record import Record, Section, read_record
from photofinish.perf.report.html import html_report
from photofinish.perf.report.page.first import FirstScreen, first_screen
from photofinish.perf.report.page.poster import poster_html
from photofinish.perf.report.text import markdown_report, terminal_report
from photofinish.perf.report.words import LANGUAGES, Words, words_for
from tests.docs.pages import CHECKOUT
from tests.perf.records import build_comparison, build_ladder, build_record, build_rivals, build_sweep


def judged(*sections: Section) -> Findings:
    return findings_from_record(replace(build_record(sections=sections), limits={}))


def screen_of(*sections: Section, lang: str = "en") -> FirstScreen:
    findings = judged(*sections)
    return first_screen(findings, words_for(findings.record, lang))


def interrupted(section: Section) -> Section:
    return replace(section, complete=False, stopped_by="Ctrl-C")


def test_the_claim_is_one_sentence_in_both_languages() -> None:
    (english,) = screen_of(build_comparison()).lines
    assert english.text == f"{english.said}{english.gain} {english.span}"
    assert english.said.startswith("P50 ")
    assert english.gain.endswith("×")
    assert english.span.startswith("[")
    (chinese,) = screen_of(build_comparison(), lang="zh").lines
    assert chinese.gain == f"快 {english.gain.removesuffix('×')} 倍"
    assert "毫秒" in chinese.said


def test_it_says_what_was_compared_on_what() -> None:
    screen = screen_of(build_comparison())
    assert screen.compared.startswith("yolo26n (yolo26n.pt) · frames of highway_cars_720p.mp4, 1280 × 720")
    assert screen.machine == "NVIDIA H100 80GB HBM3 · Intel Xeon Platinum 8480+, 16 cores · Triton 2.51.0 (embedded)"
    assert [(bar.name, bar.how) for bar in screen.bars] == [
        ("Baseline: PyTorch FP32", "FP32 tensors over gRPC, as tutorials serve it"),
        ("Optimised: ONNX Runtime FP16", "uint8 frames over shared memory, gRPC"),
    ]
    assert screen.bars[0].share == 1.0
    assert 0 < screen.bars[1].share < 0.2
    assert [bar.is_ours for bar in screen.bars] == [False, True]


def test_four_tiles_with_what_changed() -> None:
    names = [tile.name for tile in screen_of(build_comparison()).tiles]
    assert names == ["Frames per second", "P95 latency (ms)", "GPU memory (MiB)", "mAP50-95"]
    memory, accuracy = screen_of(build_comparison()).tiles[2:]
    assert (memory.before, memory.after, memory.change) == ("890", "512", "\N{MINUS SIGN}42 %")
    assert (accuracy.before, accuracy.after, accuracy.change) == ("0.4730", "0.4720", "\N{MINUS SIGN}0.0010")


def test_what_was_not_measured_has_no_tile() -> None:
    section = build_comparison(count=10)
    arms = tuple(replace(arm, accuracy={}) for arm in section.arms)
    blocks = tuple(replace(block, observed=replace(block.observed, gpus=())) for block in section.blocks)
    assert [tile.name for tile in screen_of(replace(section, arms=arms, blocks=blocks)).tiles] == ["Frames per second"]


def test_images_per_joule_where_power_is_known() -> None:
    findings = judged(build_comparison())
    assert findings.primary is not None
    first = findings.primary.summaries[0]
    assert first.images_per_joule == pytest.approx(first.frames_per_s / 182.0)
    section = build_comparison()
    two = (GpuObservation(index=0, name="a", power_mean_w=100.0), GpuObservation(index=1, name="b", power_mean_w=50.0))
    blocks = tuple(replace(block, observed=Observation(gpus=two)) for block in section.blocks)
    both = judged(replace(section, blocks=blocks)).primary
    assert both is not None
    assert both.summaries[0].images_per_joule == pytest.approx(both.summaries[0].frames_per_s / 150.0)
    none = replace(two[0], power_mean_w=None)
    blocks = tuple(replace(block, observed=Observation(gpus=(none,))) for block in section.blocks)
    unknown = judged(replace(section, blocks=blocks)).primary
    assert unknown is not None
    assert unknown.summaries[0].images_per_joule is None
    assert "Images per joule" not in terminal_report(judged(replace(section, blocks=blocks)))


def test_one_pill_made_of_the_claims() -> None:
    good = screen_of(build_comparison(), build_ladder(), build_sweep())
    assert (good.pill, good.tone) == ("VALID", "good")
    assert "6 rounds in turn" in good.trust
    part = screen_of(build_comparison(), interrupted(build_sweep()))
    assert (part.pill, part.tone) == ("VALID in part", "partly")
    assert part.trust.endswith("Not valid in this record: sweep.")
    bad = screen_of(interrupted(build_comparison()), build_sweep())
    assert bad.tone == "bad"
    assert bad.is_void
    assert bad.lines[0].text == "Not valid: no gain is claimed"
    assert bad.pill == "VALID in part"
    assert bad.trust.startswith("Do not quote this gain: comparison was stopped: Ctrl-C")
    assert all(tile.change.startswith("(") for tile in bad.tiles if tile.name != "mAP50-95")
    none = screen_of(interrupted(build_comparison()))
    assert (none.pill, none.tone) == ("INVALID", "bad")
    assert none.trust.startswith("Do not quote any of it: comparison was stopped: Ctrl-C")
    failed = replace(build_record(sections=(build_comparison(),)), limits={"min_speedup": 1000.0})
    missed = first_screen(findings_from_record(failed), Words())
    assert (missed.pill, missed.tone) == ("VALID, FAIL", "bad")


@pytest.mark.parametrize("lang", LANGUAGES)
def test_both_ratios_stand_side_by_side_the_smaller_as_large_as_the_other(lang: str) -> None:
    screen = screen_of(build_comparison(), build_rivals(), lang=lang)
    assert len(screen.lines) == 2
    assert all(line.gain and line.span and line.against for line in screen.lines)
    assert len(screen.bars) == 3
    assert [bar.is_ours for bar in screen.bars] == [False, False, True]
    page = html_report(judged(build_comparison(), build_rivals()), lang=lang)
    assert page.count('<h1 class="claim two">') == 2
    for line in screen.lines:
        assert line.gain in page
        assert line.text in terminal_report(judged(build_comparison(), build_rivals()), lang=lang)


def test_a_rival_that_may_not_be_believed_claims_nothing() -> None:
    screen = screen_of(build_comparison(), interrupted(build_rivals()))
    assert [line.is_void for line in screen.lines] == [False, True]
    assert not screen.is_void, "bars and tiles are the first line's"


def test_where_the_median_is_known_too_loosely_the_rate_is_claimed() -> None:
    findings = findings_from_record(read_record(CHECKOUT / "results" / "h200_yolo26n_coco.json.gz"))
    lines = {lang: first_screen(findings, words_for(findings.record, lang)).lines[1] for lang in LANGUAGES}
    assert lines["en"].text.endswith("no server: 107 → 687 frames per second, 6.44× [5.56, 7.46]")
    assert lines["zh"].text.endswith("每秒 107 → 687 帧，快 6.44 倍 [5.56, 7.46]")


@pytest.mark.parametrize("draw", [terminal_report, markdown_report, html_report])
def test_a_report_without_a_comparison_says_what_it_is_about(draw: object) -> None:
    findings = judged(build_sweep())
    text = draw(findings)  # type: ignore[operator]
    assert "Every variant, by load" in text
    assert "VALID" in text
    assert first_screen(findings, Words()).lines == ()


def test_names_are_short_where_all_variants_are_of_one_network() -> None:
    record: Record = build_record()
    assert words_for(record, "en").network == "yolo26n"
    assert words_for(record, "en").short("yolo26n_onnx_fp16") == "onnx_fp16"
    other = replace(build_comparison().arms[1], key="other", model="street_onnx_fp16")
    section = replace(build_comparison(), arms=(*build_comparison().arms, other))
    assert words_for(build_record(sections=(section,)), "en").network == ""
    own = replace(build_comparison().arms[0], model="mine")
    assert words_for(build_record(sections=(replace(build_comparison(), arms=(own, own)),)), "zh").network == ""


def test_columns_and_rows_without_content_are_left_out() -> None:
    section = build_comparison(count=10)
    arms = tuple(replace(arm, accuracy={}) for arm in section.arms)
    blocks = tuple(replace(block, observed=replace(block.observed, gpus=())) for block in section.blocks)
    text = markdown_report(judged(replace(section, arms=arms, blocks=blocks)))
    for nothing in ("GPU memory", "mAP50-95", "P95 latency", "no GPU", "| not measured"):
        assert nothing not in text, nothing


def test_untrained_weights_are_told_where_a_gain_is() -> None:
    """The poster and the first screen of a random network read as those of a detector."""
    section = build_comparison()
    untrained = replace(section, arms=tuple(replace(arm, untrained=True) for arm in section.arms))
    assert "untrained: speed only" in poster_html(judged(untrained))
    assert "未训练：仅测速度" in screen_of(untrained, lang="zh").compared
    assert "untrained" not in screen_of(section).compared


def test_a_frozen_video_is_told() -> None:
    record = build_record(sections=(build_comparison(),))
    for pictures, told in ((1, True), (16, False)):
        findings = findings_from_record(replace(record, source={**record.source, "pictures": pictures}))
        assert ("one picture over and over" in first_screen(findings, words_for(record, "en")).compared) is told
