"""A race out of a record: the arrivals, the claim and the doubts are the record's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from photofinish.cli import cli
from photofinish.errors import ConfigError
from photofinish.flows.race.measuring import (
    arrivals_from_blocks,
    claim_from_findings,
    lanes_from_findings,
    race_plan,
)
from photofinish.perf.judge.findings import findings_from_record
from photofinish.perf.record.observation import Observation
from photofinish.perf.record.record import Arm, Block, Load, Record, Section
from photofinish.perf.record.samples import Samples

MS = 1_000_000


def block(
    arm: str, number: int, every_ms: float, *, count: int, failed: tuple[int, ...] = (), other: float = 0.0
) -> Block:
    done = tuple(int((index + 1) * every_ms * MS) for index in range(count))
    begun = (0, *done[:-1])
    return Block(
        arm=arm,
        round=number,
        began_ns=number * 10_000 * MS,
        samples=Samples(scheduled_ns=begun, sent_ns=begun, done_ns=done, window_ns=done[-1], failed=failed),
        observed=Observation(other_cpu_cores=other),
    )


def build_record(*, rounds: int = 6, other: float = 0.0, drift: float = 1.0) -> Record:
    """The baseline takes 100 ms a frame, the other side 25 ms. drift: of the baseline's second half."""
    blocks = []
    for number in range(rounds):
        slow_ms = 100 * (drift if number >= rounds / 2 else 1) * (1 + 0.002 * (number % 2))
        blocks.append(block("baseline", number, slow_ms, count=10, other=other))
        blocks.append(block("optimised", number, 25, count=40, other=other))
    arms = (
        Arm(key="baseline", model="toy_torch_fp32_tensor", role="baseline", backend="pytorch", precision="fp32"),
        Arm(key="optimised", model="toy_onnx_fp16", backend="onnxruntime", precision="fp16"),
    )
    section = Section(
        kind="comparison",
        name="comparison",
        load=Load(mode="closed", block_s=1.0, rounds=rounds),
        arms=arms,
        blocks=tuple(blocks),
    )
    environment: dict[str, Any] = {"cpu": "a CPU", "cpu_cores": 2}
    return Record(command="photofinish race", created_utc="", environment=environment, source={}, sections=(section,))


def test_blocks_are_joined_end_to_end_in_their_order() -> None:
    joined = arrivals_from_blocks([block("a", 1, 25, count=2), block("a", 0, 100, count=3)])
    assert list(joined // MS) == [100, 200, 300, 325, 350]


def test_what_failed_has_not_arrived_but_took_its_time() -> None:
    joined = arrivals_from_blocks([block("a", 0, 100, count=3, failed=(1,)), block("a", 1, 100, count=1)])
    assert list(joined // MS) == [100, 300, 400]
    assert arrivals_from_blocks([]).dtype == np.int64


def test_lanes_and_claim_are_those_of_the_record() -> None:
    found = findings_from_record(build_record())
    assert found.primary is not None
    lanes = lanes_from_findings(found.primary)
    assert [len(lanes[side].arrivals_ns) for side in ("baseline", "optimised")] == [60, 240]
    assert (lanes["baseline"].how, lanes["optimised"].how) == ("PyTorch FP32", "ONNX Runtime FP16")
    claim, told = (
        claim_from_findings(found, found.primary),
        found.primary.gain(found.primary.section.arms[1], "frames_per_s"),
    )
    assert told is not None
    assert told.interval is not None
    assert (claim.ratio, claim.low, claim.high) == (told.value, told.interval.low, told.interval.high)
    assert claim.ratio == pytest.approx(4.0, rel=0.01)
    assert not claim.is_void


def test_other_work_voids_the_race_in_both_languages() -> None:
    found = findings_from_record(build_record(other=0.8))
    assert found.primary is not None
    claim = claim_from_findings(found, found.primary)
    assert claim.is_void
    assert "other programs used 0.8 of 2 cores" in claim.doubts["en"][0]
    assert "其他程序占用了 2 核中的 0.8 核" in claim.doubts["zh"][0]


def test_drift_voids_the_race() -> None:
    found = findings_from_record(build_record(rounds=10, drift=1.5))
    assert found.primary is not None
    assert "drifted" in " ".join(claim_from_findings(found, found.primary).doubts["en"])


def test_few_samples_for_a_p95_do_not_void_it() -> None:
    """A race claims frames per second; sixty frames of the baseline are too few for a P95, which it does not show."""
    found = findings_from_record(build_record())
    assert found.verdict.falls_short
    assert found.primary is not None
    assert not claim_from_findings(found, found.primary).is_void


def test_a_side_without_results_is_told() -> None:
    record = build_record()
    (section,) = record.sections
    silent = tuple(
        replace(item, samples=replace(item.samples, failed=tuple(range(40)))) if item.arm == "optimised" else item
        for item in section.blocks
    )
    found = findings_from_record(replace(record, sections=(replace(section, blocks=silent),)))
    assert found.primary is not None
    with pytest.raises(ConfigError, match="toy_onnx_fp16 answered no request"):
        lanes_from_findings(found.primary)


def test_a_round_without_any_result_voids_the_race() -> None:
    record = build_record()
    (section,) = record.sections
    broken = tuple(
        replace(item, samples=replace(item.samples, failed=tuple(range(40))))
        if (item.arm, item.round) == ("optimised", 2)
        else item
        for item in section.blocks
    )
    found = findings_from_record(replace(record, sections=(replace(section, blocks=broken),)))
    assert found.primary is not None
    claim = claim_from_findings(found, found.primary)
    assert claim.is_void
    assert "40 of 240" in claim.doubts["en"][0]


def test_a_race_without_any_gain_says_why_in_the_page_s_language() -> None:
    found = findings_from_record(build_record())
    assert found.primary is not None
    doubts = claim_from_findings(found, replace(found.primary, claims=())).doubts
    assert doubts["en"] == ("some rounds of a side brought no result; see the server's log, then race again",)
    assert doubts["zh"] == ("有一侧在几轮中没有任何结果；请查看服务器日志，然后重新竞速",)


@pytest.mark.parametrize(("seconds", "rounds", "block_s"), [(10, 10, 1.0), (2, 5, 0.4), (20.4, 20, 1.02)])
def test_so_many_seconds_a_side(seconds: float, rounds: int, block_s: float) -> None:
    plan = race_plan(seconds)
    assert (plan.rounds, plan.block_s) == (rounds, pytest.approx(block_s))


def test_a_race_whose_record_cannot_be_written_is_not_begun(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    words = ["race", "--url", "127.0.0.1:1", "--out", str(tmp_path / "file" / "race.json")]
    answer = CliRunner().invoke(cli, words)
    assert isinstance(answer.exception, ConfigError), "the server is not even asked"
    assert "race.json cannot be written" in str(answer.exception)
