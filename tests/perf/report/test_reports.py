"""Reports against reviewed golden files. PHOTOFINISH_UPDATE_GOLDEN=1 writes them anew; look at the difference."""

from __future__ import annotations

import csv
import os
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from photofinish.perf.formatting import interval_text, mebibytes, milliseconds, number, times
from photofinish.perf.judge.findings import Findings, SectionFindings, findings_from_record, findings_from_section
from photofinish.perf.record.record import Record, Section
from photofinish.perf.report.charts import (
    SAME,
    distribution_chart,
    ladder_chart,
    load_chart,
    stage_chart,
    timeline_chart,
)
from photofinish.perf.report.files import csv_report, write_reports
from photofinish.perf.report.html import html_report
from photofinish.perf.report.order import method_notes
from photofinish.perf.report.page.screen import cell_html
from photofinish.perf.report.svg import COLOURS, GREY, log_ticks, nice_ticks
from photofinish.perf.report.sweep_tables import classic_rows
from photofinish.perf.report.text import markdown_report, terminal_report, text_table
from photofinish.perf.report.words import ENGLISH, LANGUAGES, Words
from photofinish.perf.statistics import Interval
from tests.perf.records import build_comparison, build_ladder, build_record, build_sweep

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def findings() -> Findings:
    return findings_from_record(build_record())


def found(section: Section) -> SectionFindings:
    return findings_from_section(section, cores=16)


def _check(name: str, text: str) -> None:
    path = GOLDEN / name
    if os.environ.get("PHOTOFINISH_UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text, f"{name} has changed; see this file's first line"


def test_terminal(findings: Findings) -> None:
    _check("report.txt", terminal_report(findings))
    _check("report.zh.txt", terminal_report(findings, lang="zh"))


def test_markdown_and_csv(findings: Findings) -> None:
    _check("report.md", markdown_report(findings))
    _check("report.csv", csv_report(findings))
    rows = list(csv.DictReader(csv_report(findings).splitlines()))
    assert len(rows) == sum(len(section.arms) for section in findings.record.sections)
    assert float(rows[1]["gain_p50_low"]) < float(rows[1]["gain_p50"]) < float(rows[1]["gain_p50_high"])


NAME = '=HYPERLINK("http://x")<script>1</script>|[a](javascript:1)'
STOPPED = "<img src=x onerror=alert(1)> [a](javascript:1)\n# heading"


@pytest.fixture
def hostile() -> Record:
    """A record in which every text that others choose tries to break out of its place."""
    section = build_comparison()
    arm = replace(section.arms[0], label=NAME, model=NAME)
    section = replace(section, arms=(arm, section.arms[1]), complete=False, stopped_by=STOPPED)
    record = build_record(sections=(section,))
    environment = {**record.environment, "cpu": "<script>2</script>", "gpus": [{"name": "<script>3</script>"}]}
    return replace(record, environment=environment, command="photofinish --out '\n```\n<script>'")


def test_a_name_of_others_is_no_formula_in_a_spreadsheet(hostile: Record) -> None:
    row = next(csv.DictReader(csv_report(findings_from_record(hostile)).splitlines()))
    assert (row["arm"], row["model"]) == ("'" + NAME, "'" + NAME)
    assert [name for name, value in row.items() if value.startswith(("=", "+", "-", "@"))] == []


def test_a_name_of_others_is_no_tag_link_or_heading_in_markdown(hostile: Record) -> None:
    text, fence, command = markdown_report(findings_from_record(hostile)).partition("\n````\n")
    assert "<script" not in text
    assert "<img" not in text
    assert "](" not in text
    assert "\n# heading" not in text
    assert command == hostile.command + fence
    header = next(line for line in text.splitlines() if line.startswith("| figure"))
    named = next(line for line in text.splitlines() if "HYPERLINK" in line and line.startswith("|"))
    assert len(re.findall(r"(?<!\\)\|", named)) == header.count("|")


@pytest.mark.parametrize("lang", LANGUAGES)
def test_a_name_of_others_is_no_tag_in_a_page(hostile: Record, lang: str) -> None:
    page = html_report(findings_from_record(hostile), lang=lang)
    assert "<script" not in page
    assert "<img" not in page
    for drawn in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        ElementTree.fromstring(drawn)


def test_page(findings: Findings) -> None:
    _check("report.html", html_report(findings))
    _check("report.zh.html", html_report(findings, lang="zh"))


class _Page(HTMLParser):
    """Counts tags, and checks that what is opened is closed."""

    VOID = ("meta", "br", "input")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_page_stands_alone(findings: Findings, lang: str) -> None:
    text = html_report(findings, lang=lang)
    page = _Page()
    page.feed(text)
    assert page.open == []
    tags = [tag for tag, _ in page.seen]
    assert tags.count("svg") == 10, "five pictures, as wide as a page and as a phone"
    assert not {"script", "link", "img", "iframe"} & set(tags)
    assert not re.search(r"""(src|href)=|@import|url\(|https?://(?!www\.w3\.org/2000/svg)""", text)
    assert len(text) < 160_000


@pytest.mark.parametrize(
    ("draw", "section"),
    [
        (distribution_chart, build_comparison()),
        (timeline_chart, build_comparison()),
        (stage_chart, build_comparison()),
        (ladder_chart, build_ladder()),
        (load_chart, build_sweep()),
        (distribution_chart, build_comparison(count=1)),
        (timeline_chart, build_comparison(rounds=2, count=2)),
        (ladder_chart, replace(build_ladder(), arms=build_ladder().arms[:1])),
    ],
)
def test_pictures_are_sound_and_stay_inside(draw: object, section: Section) -> None:
    for lang in LANGUAGES:
        root = ElementTree.fromstring(draw(found(section), Words(lang)))  # type: ignore[operator]
        width, height = (float(value) for value in root.attrib["viewBox"].split()[2:])
        for element in root.iter():
            for name in ("x", "x1", "x2", "cx"):
                assert -0.5 <= float(element.attrib.get(name, 0)) <= width + 0.5
            for name in ("y", "y1", "y2", "cy"):
                assert -0.5 <= float(element.attrib.get(name, 0)) <= height + 0.5


def test_the_ladder_shows_throughput_where_latency_was_traded_for_it() -> None:
    ladder = build_ladder()
    last = replace(ladder.arms[-1], key="pipelining", rung="pipelining", concurrency=2)
    blocks = tuple(replace(block, arm="pipelining") for block in ladder.blocks_of(ladder.arms[-1].key))
    drawn = ladder_chart(found(replace(ladder, arms=(*ladder.arms, last), blocks=(*ladder.blocks, *blocks))), ENGLISH)
    words = [element.text for element in ElementTree.fromstring(drawn).iter() if element.text and element.text.strip()]
    assert words.index("Frames per second") < words.index("2 in flight")
    assert words.count("CUDA graphs") == 2  # the last latency rung stands first among the rates
    assert "Frames per second" not in ladder_chart(found(ladder), ENGLISH)


def test_a_step_that_shows_no_difference_is_not_called_better() -> None:
    ladder = build_ladder()
    same = tuple(
        replace(block, samples=next(item.samples for item in ladder.blocks_of("contract") if item.round == block.round))
        if block.arm == "transport"
        else block
        for block in ladder.blocks
    )
    root = ElementTree.fromstring(ladder_chart(found(replace(ladder, blocks=same)), ENGLISH))
    colours = [element.attrib["fill"] for element in root.iter() if element.tag.endswith("rect")]
    legend, bars = colours[:4], colours[4:]
    assert legend == [GREY, COLOURS[0], COLOURS[1], SAME]
    assert bars[:3] == [GREY, COLOURS[0], SAME]


def test_a_record_with_nothing_or_half_of_it_still_makes_a_report(tmp_path: Path) -> None:
    section = build_comparison()
    halves: tuple[Record, ...] = (
        build_record(sections=()),
        build_record(sections=(replace(section, blocks=(), complete=False),)),
        build_record(sections=(replace(section, blocks=section.blocks[:1], complete=False, stopped_by="Ctrl-C"),)),
        build_record(sections=(replace(build_sweep(), blocks=()), replace(build_ladder(), blocks=()))),
    )
    # Each round begins with another arm: a run may end before the first one of the section had a block.
    second_alone = tuple(block for block in section.blocks if block.arm == "optimised")[:1]
    stopped = replace(section, blocks=second_alone, complete=False, stopped_by="Ctrl-C")
    halves = (*halves, _all_failed(), build_record(sections=(stopped,)))
    for index, half in enumerate(halves):
        judged = findings_from_record(half)
        written = write_reports(judged, tmp_path / f"{index}.json", lang="zh")
        assert [path.name for path in written] == [f"{index}.zh.{kind}" for kind in ("md", "csv", "html")]
        assert "INVALID" in terminal_report(judged) or index == 3


def _all_failed() -> Record:
    """A server that answered nothing in time, in any section."""
    sections = []
    for section in (build_comparison(), build_ladder(), build_sweep()):
        blocks = []
        for block in section.blocks:
            count = block.samples.request_count
            errors = {"RequestTimeoutError": count}
            samples = replace(block.samples, failed=tuple(range(count)), error_counts=errors)
            blocks.append(replace(block, samples=samples))
        sections.append(replace(section, blocks=tuple(blocks)))
    return build_record(sections=tuple(sections))


def test_three_significant_digits() -> None:
    values = (0, 0.01234, 0.9996, 1.234, 12.34, 123.4, 1234.5, 123456, None, float("nan"))
    expected = ["0", "0.0123", "1.00", "1.23", "12.3", "123", "1230", "123000", "–", "–"]
    assert [number(value) for value in values] == expected
    assert (milliseconds(1_234_567), mebibytes(3 * 2**20), times(2.5), times(None)) == ("1.23", "3.00", "2.50×", "–")


def test_an_interval_is_known_to_a_page_and_brackets_of_others_are_not() -> None:
    cell = interval_text(Interval(estimate=2.1, low=1.95, high=2.24))
    assert cell == "2.10× [1.95, 2.24]"
    assert cell_html(cell) == '2.10× <span class="ci">[1.95, 2.24]</span>'
    assert cell_html("my model [v2]") == "my model [v2]"


def test_ticks_are_round_and_inside() -> None:
    assert nice_ticks(0, 10) == [0, 2, 4, 6, 8, 10]
    assert nice_ticks(0, 37, 4) == [0, 10, 20, 30]
    assert log_ticks(1, 100) == [1, 2, 5, 10, 20, 50, 100]
    assert all(2.3 <= tick <= 2.9 for tick in log_ticks(2.3, 2.9))
    assert len(log_ticks(2.3, 2.9)) >= 3


def test_columns_stand_in_line_in_chinese_too() -> None:
    lines = text_table(["变体", "FPS"], [["a", "1.0"], ["乙乙乙", "10.0"]]).splitlines()
    assert lines[0] == "变体     FPS"
    assert lines[3] == "乙乙乙  10.0"


def test_the_classic_table_sets_precision_against_batch() -> None:
    sweep = build_sweep()
    own = [arm for arm in sweep.arms if arm.generator == "photofinish" and arm.contract == "frames"]
    arms, blocks = [], []
    for precision, speed in (("fp32", 1), ("fp16", 2)):
        for size in (1, 32):
            arm = replace(own[0], key=f"{precision}/{size}", model=f"toy_{precision}", precision=precision,
                          batch_size=size, concurrency=1)  # fmt: skip
            block = sweep.blocks_of(own[0].key)[0]
            done = tuple(due + 8_000_000 * size // speed for due in block.samples.scheduled_ns)
            samples = replace(block.samples, done_ns=done, window_ns=2 * 10**9, frames_per_request=size)
            arms.append(arm)
            blocks.append(replace(block, arm=arm.key, samples=samples))
    section = replace(sweep, arms=tuple(arms), blocks=tuple(blocks))
    table = classic_rows(found(section), ENGLISH)
    assert table is not None
    assert [row[:4] + row[6:] for row in table[1]] == [
        ["toy_fp32", "fp32", "1", "8.00", "1.00×", "1.00×"],
        ["toy_fp16", "fp16", "1", "4.00", "2.00×", "1.00×"],
        ["toy_fp32", "fp32", "32", "256", "1.00×", "1.00×"],
        ["toy_fp16", "fp16", "32", "128", "2.00×", "1.00×"],
    ]
    assert "Precision against batch size" in terminal_report(findings_from_record(build_record(sections=(section,))))
    assert classic_rows(found(build_sweep()), ENGLISH) is None


def test_a_rectangular_input_is_told_with_its_model() -> None:
    comparison = build_comparison()
    shaped = [
        replace(arm, input_wh=(640, 640) if arm.role == "baseline" else (640, 384), tf32=False, device="cpu")
        for arm in comparison.arms
    ]
    record = build_record(sections=(replace(comparison, arms=tuple(shaped)),))
    (said,) = [note for note in method_notes(findings_from_record(record), ENGLISH) if note.startswith("Input of")]
    assert said.startswith(f"Input of {shaped[-1].model}: 640 × 384, the frame without the grey padding")
    assert not any("TF32" in note for note in method_notes(findings_from_record(record), ENGLISH)), "a CPU has no TF32"


def test_what_the_gate_could_not_say_is_told_in_both_languages() -> None:
    """A variant that nobody measured, one published undecided, one that lost a class which the mean hides."""
    section = build_comparison()

    def told(*accuracies: dict[str, object]) -> tuple[str, str]:
        arms = tuple(replace(arm, accuracy=found) for arm, found in zip(section.arms, accuracies, strict=True))
        findings = findings_from_record(build_record(sections=(replace(section, arms=arms),)))
        return markdown_report(findings), markdown_report(findings, lang="zh")

    measured = {"map50_95": 0.473, "passed": True, "note": "", "worst_class": "cat", "worst_class_loss": 0.05}
    said = ("was not measured", "未测量精度", "could decide nothing", "未能判定", "class cat lost 0.420", "类别 cat")
    cases = ((measured, measured, ()), ({}, {}, said[:2]), (measured, {**measured, "note": "no box"}, said[2:4]),
             (measured, {**measured, "worst_class_loss": 0.42}, said[4:]))  # fmt: skip
    for first, second, wanted in cases:
        text = "".join(told(first, second))
        assert [words for words in said if words in text] == list(wanted)
