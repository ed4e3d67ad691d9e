"""Two languages: the same blanks in both, and no English sentence in a Chinese report, whatever the record holds."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from photofinish.errors import ConfigError
from photofinish.perf.measure.ladder import RUNGS, ladder_setups
from photofinish.perf.record.observation import GpuObservation
from photofinish.perf.record.record import NotRun, Record, read_record
from photofinish.perf.report import words as wording
from photofinish.perf.report.html import html_report
from photofinish.perf.report.markdown import markdown_report
from photofinish.perf.report.recorded_words import RECORDED, translated
from photofinish.perf.report.words import LANGUAGES, section_title, word
from photofinish.perf.watch.gpu import THROTTLE_REASONS
from tests.perf.records import build_comparison, build_ladder, build_record, build_sweep

RESULTS = Path(__file__).resolve().parents[3] / "results"
_THREE_WORDS = re.compile(r"(?<![\w`'/.-])[A-Za-z][a-z]+(?:[ ,;:]+[A-Za-z][a-z']*){2,}")
_NAMES = ("MLPerf LoadGen",)
MEMORY_METHODS = (
    "NVML, the model's own processes",
    "NVML, the whole server with all its models",
    "device in use less before the server",
    "whole device",
    "not measured",
)


def full_record() -> Record:
    """Everything a report can say at once: all reasons to doubt, everything left out, every way to measure memory."""
    comparison, ladder, sweep = build_comparison(), build_ladder(), build_sweep()
    blocks = []
    for index, block in enumerate(comparison.blocks):
        gpu = GpuObservation(
            index=0,
            name="Toy",
            memory_bytes=1,
            memory_method=MEMORY_METHODS[index % len(MEMORY_METHODS)],
            throttle_reasons=tuple(THROTTLE_REASONS),
            foreign_processes=1,
        )
        samples = replace(block.samples, failed=(0, 1))
        blocks.append(
            replace(block, samples=samples, observed=replace(block.observed, gpus=(gpu,), other_cpu_cores=9.0))
        )
    accuracy = {"dataset": "synthetic camera, 120 frames", "kind": "synthetic", "frames": 120, "map50_95": 0.5}
    arms = tuple(replace(arm, untrained=True, tf32=True, accuracy=accuracy) for arm in comparison.arms)
    comparison = replace(comparison, arms=arms, blocks=tuple(blocks), complete=False, stopped_by="Ctrl-C")
    left_out = (
        *ladder_setups(())[1],
        NotRun(label="shared memory", reason="the server takes no shared memory from here"),
        NotRun(label="requests over HTTP", reason="the server's HTTP endpoint is not on the port below its gRPC port"),
        NotRun(label="CUDA shared memory", reason="toy_onnx_fp32 does not run on a GPU"),
        NotRun(label="batches of 8", reason="toy_onnx_fp32 takes batches of 4 at most"),
    )
    missing = (
        NotRun(label="toy_onnx_fp32, batch 64", reason="the model takes smaller batches only"),
        NotRun(
            label="perf_analyzer, toy_onnx_fp32 at concurrency 4, batch 8",
            reason="perf_analyzer exited with 99: no output; the server's log has the other side of it",
        ),
    )
    arms = (*ladder.arms[:-1], replace(ladder.arms[-1], key="cuda_shm", label="CUDA shared memory"))
    blocks = []
    for block in ladder.blocks:
        done = tuple(done * (2 if block.round > 1 else 1) for done in block.samples.done_ns)
        key = "cuda_shm" if block.arm == "cuda_graphs" else block.arm
        blocks.append(replace(block, arm=key, samples=replace(block.samples, done_ns=done)))
    drifting = replace(ladder, arms=arms, blocks=tuple(blocks), not_run=left_out)
    paced = replace(build_comparison(), name="paced 30", load=replace(comparison.load, mode="open", rate_rps=200.0))
    disagreeing = replace(sweep, not_run=missing, blocks=tuple(
        replace(block, samples=replace(block.samples, done_ns=tuple(done * 2 for done in block.samples.done_ns)))
        if "perf_analyzer" in block.arm else block
        for block in sweep.blocks
    ))  # fmt: skip
    return build_record(sections=(comparison, paced, drifting, disagreeing))


def _prose(report: str) -> str:
    """The report without code, without the fingerprint's keys and values, and without names."""
    text = re.sub(r"```.*?```|`[^`]*`", "", report, flags=re.DOTALL)
    text = re.sub(rf"## {word('h_fingerprint', 'zh')}.*?(?=\n## )", "", text, flags=re.DOTALL)
    for name in _NAMES:
        text = text.replace(name, "")
    return text


@pytest.mark.parametrize("name", ["", *sorted(path.name for path in RESULTS.glob("*.json.gz"))])
def test_no_english_sentence_stands_in_a_chinese_report(name: str) -> None:
    record = read_record(RESULTS / name) if name else full_record()
    left = _THREE_WORDS.findall(_prose(markdown_report(record, lang="zh")))
    assert left == []


def test_thefull_record_says_everything_it_was_built_to_say() -> None:
    """Else the test above would look at nothing."""
    said = markdown_report(full_record())
    for text in ("was stopped", "requests failed", "held back", "other programs", "drifted", "cannot keep", "Not run",
                 "perf_analyzer's median", "untrained", "TF32", "smaller batches", "exited with 99"):  # fmt: skip
        assert text in said, text
    page = html_report(full_record(), lang="zh")
    assert "无效" in page
    assert "INVALID" not in page


def test_every_entry_has_the_same_blanks_in_both_languages() -> None:
    for key, (english, chinese) in wording._WORDS.items():
        blanks = [set(re.findall(r"\{(\w+)\}", text)) for text in (english, chinese)]
        assert blanks[0] == blanks[1] or key == "headline", key
    with pytest.raises(ConfigError, match="language"):
        word("arm", "fr")


def test_recorded_sentences_are_found_again_with_their_blanks() -> None:
    said = "needs an onnxruntime FP16 variant with CUDA graphs, on a GPU; none is served here"
    assert translated(said, "zh") == "需要：在 GPU 上使用 CUDA 图的 onnxruntime FP16 变体，此处没有"
    assert translated("yolo at concurrency 4, batch 8", "zh") == "yolo，并发 4，批大小 8"
    assert translated("yolo at concurrency 4", "zh") == "yolo，并发 4"
    assert translated("yolo26n_onnx_fp16", "zh") == "yolo26n_onnx_fp16"
    assert {translated(said, "en"), said} == {said}


def test_all_rungs_and_what_they_need_can_be_said_in_chinese() -> None:
    english = {pair[0] for pair in RECORDED.values()}
    for rung in RUNGS:
        assert not rung.needs or rung.needs in english, rung.needs
        assert translated(rung.label, "zh") == word(f"rung_{rung.key}", "zh")
    assert set(MEMORY_METHODS) | set(THROTTLE_REASONS) <= english


def test_sections_have_titles() -> None:
    assert [section_title("paced 29.97", lang) for lang in LANGUAGES] == ["paced 29.97", "每秒 29.97 帧"]
    assert section_title("something", "zh") == "something"
