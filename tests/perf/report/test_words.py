"""Two languages: the same blanks in both, and no English sentence in a Chinese report, whatever the record holds."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from photofinish.errors import ConfigError
from photofinish.perf.judge.findings import findings_from_record
from photofinish.perf.judge.verdict import LIMIT_NAMES
from photofinish.perf.measure.ladder import RUNGS
from photofinish.perf.record.changes import NOUNS, Change, NotRun, NotRunError, not_run_from_error
from photofinish.perf.record.observation import MemoryMethod, Throttle
from photofinish.perf.record.record import read_record
from photofinish.perf.report.html import html_report
from photofinish.perf.report.labels import LABELS
from photofinish.perf.report.sentences import SENTENCES
from photofinish.perf.report.text import markdown_report
from photofinish.perf.report.words import ENGLISH, ENTRIES, LANGUAGES, Words
from photofinish.perf.watch.gpu import THROTTLE_REASONS
from tests.perf.records import build_comparison, full_record

CHINESE = Words("zh")
RESULTS = Path(__file__).resolve().parents[3] / "results"
_THREE_WORDS = re.compile(r"(?<![\w`'/.-])[A-Za-z][a-z]+(?:[ ,;:]+[A-Za-z][a-z']*){2,}")
_NAMES = ("MLPerf LoadGen", "Intel Xeon Platinum")


def _prose(report: str) -> str:
    """The report without code, without the fingerprint's keys and values, and without names."""
    text = re.sub(r"```.*?```|`[^`]*`", "", report, flags=re.DOTALL)
    text = re.sub(rf"## {CHINESE('h_fingerprint')}.*?(?=\n## )", "", text, flags=re.DOTALL)
    for name in _NAMES:
        text = text.replace(name, "")
    return text


@pytest.mark.parametrize("name", ["", *sorted(path.name for path in RESULTS.glob("*.json.gz"))])
def test_no_english_sentence_stands_in_a_chinese_report(name: str) -> None:
    findings = findings_from_record(read_record(RESULTS / name) if name else full_record())
    left = _THREE_WORDS.findall(_prose(markdown_report(findings, lang="zh")))
    assert left == []


def test_thefull_record_says_everything_it_was_built_to_say() -> None:
    """Else the test above would look at nothing."""
    findings = findings_from_record(full_record())
    said = markdown_report(findings)
    for text in ("was stopped", "requests failed", "held back", "other programs", "drifted", "cannot keep", "Not run",
                 "perf_analyzer's median", "untrained", "TF32", "smaller batches", "exited with 99"):  # fmt: skip
        assert text in said, text
    page = html_report(findings, lang="zh")
    assert "无效" in page
    assert "INVALID" not in page


def test_every_entry_has_the_same_blanks_in_both_languages() -> None:
    for key, (english, chinese) in ENTRIES.items():
        blanks = [set(re.findall(r"\{(\w+)", text)) for text in (english, chinese)]
        assert blanks[0] == blanks[1] or key == "headline", key
    assert not LABELS.keys() & SENTENCES.keys()
    with pytest.raises(ConfigError, match="language"):
        Words("fr")


def test_what_was_not_run_is_said_in_both_languages() -> None:
    item = NotRun(key="needs", values={"what": "cuda_graphs"}, rung="batching", concurrency=2, batch_size=8)
    said = "batches of 8: needs an onnxruntime FP16 variant with CUDA graphs, on a GPU; none is served here"
    assert ENGLISH.not_run([item]) == f"Not run: {said}."
    assert (
        CHINESE.not_run([item]) == "未运行：8 帧一批：需要：在 GPU 上使用 CUDA 图的 onnxruntime FP16 变体，此处没有。"
    )
    assert ENGLISH.not_run([]) == ""


@pytest.mark.parametrize(
    ("item", "english", "chinese"),
    [
        (NotRun(key="", model="yolo", concurrency=4, batch_size=8), "yolo at concurrency 4, batch 8",
         "yolo，并发 4，批大小 8"),
        (NotRun(key="", model="yolo", concurrency=4), "yolo at concurrency 4", "yolo，并发 4"),
        (NotRun(key="", model="yolo", batch_size=64), "yolo, batch 64", "yolo，批大小 64"),
        (NotRun(key="", model="yolo", concurrency=1, generator="perf_analyzer"), "perf_analyzer, yolo at concurrency 1",
         "perf_analyzer，yolo，并发 1"),
        (NotRun(key="", label="yolo26n_onnx_fp16"), "yolo26n_onnx_fp16", "yolo26n_onnx_fp16"),
        (NotRun(key="", rung="a later one"), "a later one", "a later one"),
    ],
)  # fmt: skip
def test_what_was_not_run_has_a_name(item: NotRun, english: str, chinese: str) -> None:
    assert (ENGLISH.subject(item), CHINESE.subject(item)) == (english, chinese)


def test_what_a_later_version_knows_is_told_as_it_stands() -> None:
    assert ENGLISH.why(NotRun(key="eclipse", values={"of": "the sun", "key": 3})) == "eclipse the sun 3"
    assert ENGLISH.why(NotRun(key="needs", values={"what": "glasses"})) == "needs glasses"
    assert ENGLISH.named("memory", "of an elephant") == "of an elephant"


def test_an_error_says_what_the_english_report_says() -> None:
    """And what it says of somebody else's words is never filled again."""
    error = NotRunError(NotRun(key="exited", values={"code": 3, "said": "{code}"}))
    assert str(error) == ENGLISH.why(error.not_run)
    assert "3: {code};" in str(error)
    said = not_run_from_error(ValueError("a\n{b}"))
    assert ENGLISH.why(said) == CHINESE.why(said) == "ValueError: a {b}"


def test_what_changed_is_said_in_both_languages() -> None:
    changes = [Change(noun="engine", was="pytorch", now="onnxruntime"), Change(noun="cuda_graphs", was="off", now="on")]
    assert ENGLISH.changes(changes) == "engine pytorch → onnxruntime, CUDA graphs off → on"
    assert CHINESE.changes(changes) == "引擎 pytorch → onnxruntime, CUDA 图 关 → 开"


def test_everything_a_value_can_be_has_its_words() -> None:
    wanted = {f"rung_{rung.key}" for rung in RUNGS} | {f"needs_{rung.key}" for rung in RUNGS if rung.wants}
    wanted |= {f"change_{noun}" for noun in NOUNS} | {f"limit_{name}" for name in LIMIT_NAMES}
    wanted |= {f"memory_{method}" for method in get_args(MemoryMethod)}
    wanted |= {f"throttle_{reason}" for reason in get_args(Throttle)}
    assert wanted <= ENTRIES.keys()
    assert set(THROTTLE_REASONS) == set(get_args(Throttle))


def test_sections_have_titles() -> None:
    plain = build_comparison()
    paced = replace(plain, name="paced 29.97", load=replace(plain.load, mode="open", rate_rps=29.97))
    assert [Words(lang).section(paced) for lang in LANGUAGES] == ["paced 29.97", "每秒 29.97 帧"]
    assert [CHINESE.section(replace(plain, name=name)) for name in ("something", "ladder")] == ["something", "阶梯"]


@pytest.mark.parametrize("lang", LANGUAGES)
def test_a_remedy_names_the_flag_of_the_command_in_hand(lang: str) -> None:
    for key in ("advice_few_rounds", "advice_few_samples", "advice_imprecise"):
        assert "--minutes" in Words(lang)(key)
        assert "--seconds" in Words(lang, longer="--seconds")(key)
