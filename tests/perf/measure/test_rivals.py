"""What a user would run instead, beside ours: sleeping programs in the place of networks, real processes and turns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from photofinish.client.triton.served import ServedModel
from photofinish.client.triton.tensors import TensorInfo
from photofinish.machine.processes import is_alive
from photofinish.perf.judge.findings import findings_from_record
from photofinish.perf.measure import rivals
from photofinish.perf.measure.bench import Bench
from photofinish.perf.measure.rivals import RivalArms, Rivals, compare_rivals, rival_changes, with_rival_changes
from photofinish.perf.measure.runs import Plan, Run
from photofinish.perf.record.changes import NotRun
from photofinish.perf.record.record import Load
from photofinish.perf.report.text import markdown_report
from photofinish.perf.report.words import ENGLISH
from photofinish.perf.watch.watcher import Watcher
from tests.builders import build_card, build_frame
from tests.conftest import CHECKOUT
from tests.perf.records import build_record

SLEEPING = "tests.perf.rivals.sleeping"
BOXES = [[4.0, 4.0, 20.0, 20.0, 0.9, 1.0]]
SLEEPS_S = {"plain": 0.006, "ultralytics": 0.012, "baseline": 0.012, "optimised": 0.003}


def _model(name: str, dims: tuple[int, ...], **card: Any) -> ServedModel:
    tensor = TensorInfo(name="images", datatype="UINT8", dims=dims)
    return ServedModel(
        name=name,
        card=build_card(variant=name, **card),
        has_own_card=True,
        problem="",
        inputs=(tensor,),
        outputs=(),
        max_batch_size=8,
    )


BASELINE = _model("toy_torch_fp32_tensor", (3, 64, 64), role="baseline", contract="tensor", backend="pytorch")
OURS = _model("toy_onnx_fp32", (64, 64, 3))


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """What each program is told beside its job, by its arm; change it before the arms are opened."""
    extra: dict[str, dict[str, Any]] = {key: {"sleep_s": s, "boxes": BOXES} for key, s in SLEEPS_S.items()}
    original = RivalArms._jobs

    def with_extra(self: RivalArms, *arguments: Any) -> Mapping[str, Any]:
        found = original(self, *arguments)
        return {key: (arm, SLEEPING, {**job, **extra[key]}) for key, (arm, _, job) in found.items()}

    monkeypatch.setattr(RivalArms, "_jobs", with_extra)
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))
    return extra


def _run(tmp_path: Path, lines: list[str]) -> Run:
    bench = Bench(
        url="127.0.0.1:1", models=(BASELINE, OURS), frames=(build_frame(),), source="", server={}, watcher=Watcher()
    )
    plan = Plan(rival_rounds=6, rival_block_s=0.1)
    record = build_record(sections=())
    return Run(bench=bench, plan=plan, out=tmp_path / "r.json", on_progress=lines.append, record=record)


def test_each_takes_turns_in_a_process_of_its_own_and_ours_is_set_against_each(
    tmp_path: Path, jobs: dict[str, dict[str, Any]]
) -> None:
    run = _run(tmp_path, [])
    with RivalArms(Rivals(weights="toy.pt"), run.bench, BASELINE, run.on_progress) as run.rivals:
        compare_rivals(run, OURS)
        pids = [process.pid for process in run.rivals._running.values()]
    assert len(set(pids)) == 4
    assert not any(map(is_alive, pids))
    findings = findings_from_record(run.record)
    assert findings.rivals is not None
    assert [len(findings.rivals.section.blocks_of(key)) for key in SLEEPS_S] == [6] * 4
    plain, theirs = findings.rival_headlines
    assert plain.against is not None
    assert theirs.against is not None
    assert (plain.against.key, theirs.against.key) == ("plain", "ultralytics")
    assert plain.value == pytest.approx(2, rel=0.3)
    assert theirs.value == pytest.approx(4, rel=0.3)
    agreement = {item.arm.key: item.arm.agreement for item in findings.rivals.summaries}
    assert all((values["matched"], values["boxes"]) == (1, 1) for values in agreement.values())
    assert all(item.client_cpu_ms is not None for item in findings.rivals.summaries)
    report = markdown_report(findings)
    assert "plain PyTorch, no server" in report
    assert "1 of 1, IoU 1.00" in report


def test_boxes_that_ours_does_not_find_make_the_gain_void(tmp_path: Path, jobs: dict[str, dict[str, Any]]) -> None:
    jobs["plain"]["boxes"] = [[30.0, 30.0, 44.0, 44.0, 0.9, 1.0]]
    run = _run(tmp_path, [])
    with RivalArms(Rivals(weights="toy.pt"), run.bench, BASELINE, run.on_progress) as run.rivals:
        compare_rivals(run, OURS)
    plain, theirs = findings_from_record(run.record).rival_headlines
    assert [reason.key for reason in plain.reasons if reason.key == "other_boxes"] == ["other_boxes"]
    assert not [reason.key for reason in theirs.reasons if reason.key == "other_boxes"]
    assert "ours finds 0 of its 1 boxes" in " ".join(map(ENGLISH.reason, plain.reasons))


def test_one_that_does_not_start_is_left_out_with_its_last_words(
    tmp_path: Path, jobs: dict[str, dict[str, Any]]
) -> None:
    jobs["plain"]["dies"] = 0
    run = _run(tmp_path, [])
    with RivalArms(Rivals(weights="toy.pt"), run.bench, BASELINE, run.on_progress) as run.rivals:
        compare_rivals(run, OURS)
    section = run.record.sections[-1]
    assert [arm.key for arm in section.arms] == ["ultralytics", "baseline", "optimised"]
    assert ENGLISH.not_run(section.not_run).endswith(
        "plain PyTorch, no server: its process ended with exit code 7, saying: out of memory."
    )


def test_where_neither_runs_nothing_is_measured_and_the_reason_told(
    tmp_path: Path, jobs: dict[str, dict[str, Any]]
) -> None:
    lines: list[str] = []
    run = _run(tmp_path, lines)
    why_not = {key: NotRun(key="no_ultralytics", rung=key) for key in (rivals.PLAIN, rivals.ULTRALYTICS)}
    with RivalArms(Rivals(why_not=why_not), run.bench, BASELINE, run.on_progress) as run.rivals:
        compare_rivals(run, OURS)
        assert not run.rivals._running
    assert run.record.sections == ()
    assert sum("pip install 'photofinish[export]'" in line for line in lines) == 2


def test_the_frames_the_baseline_and_its_tf32_are_handed_on(tmp_path: Path) -> None:
    run = _run(tmp_path, [])
    for tf32 in (False, True):
        baseline = replace(BASELINE, card=replace(BASELINE.require_card(), tf32=tf32, device="cuda"))
        with RivalArms(Rivals(weights="toy.pt"), run.bench, baseline, print) as arms:
            assert arms._environment() == ({} if tf32 else {"NVIDIA_TF32_OVERRIDE": "0"})
            found = arms._jobs(OURS, "auto")
            jobs = {key: job for key, (_, _, job) in found.items()}
            assert np.load(jobs["plain"]["frames"]).shape == (1, 48, 64, 3)
        assert jobs["plain"] | {"frames": ""} == {
            "weights": "toy.pt", "device": "cuda:0", "imgsz": 64, "keeps_memory": True, "frames": ""
        }  # fmt: skip
        assert jobs["ultralytics"]["weights"] == "grpc://127.0.0.1:1/toy_torch_fp32_tensor"
        assert jobs["optimised"]["transport"] == "auto"


def test_a_ladder_begins_with_what_a_server_costs(tmp_path: Path, jobs: dict[str, dict[str, Any]]) -> None:
    run = _run(tmp_path, [])
    load = Load(mode="closed", block_s=0.05)
    with RivalArms(Rivals(weights="toy.pt"), run.bench, BASELINE, print) as arms:
        rungs = with_rival_changes(arms.contenders(load, None, "auto"))
    assert [(item.arm.rung, ENGLISH.changes(item.arm.changes)) for item in rungs] == [
        ("plain", ""),
        ("ultralytics", "server none → Triton, engine eager PyTorch → TorchScript"),
    ]
    assert ENGLISH.changes(rival_changes("ultralytics")) == "client Ultralytics → baseline"
