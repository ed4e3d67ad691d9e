"""Interleaved blocks, with plain callables in the place of a server."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from photofinish.client.pipeline.frame_result import FrameResult
from photofinish.detections import empty_detections
from photofinish.errors import ServerUnavailableError
from photofinish.frame import Frame
from photofinish.perf.judge.findings import SectionFindings, findings_from_section
from photofinish.perf.judge.reasons import is_overloaded
from photofinish.perf.judge.summary import summaries_from_section
from photofinish.perf.measure.comparison import block_order, contender_from_sender, run_comparison
from photofinish.perf.measure.demo import compare_pipelines
from photofinish.perf.record.record import Arm, Load, LoadMode, Section
from photofinish.perf.report.text import comparison_table
from tests.builders import build_frame
from tests.perf.records import build_record


def test_order_is_abba_with_a_fresh_order() -> None:
    order = block_order(("a", "b"), rounds=40, seed=1)
    assert all(sorted(keys) == ["a", "b"] for keys in order)
    assert all(order[index] == order[index + 1][::-1] for index in range(0, 40, 2))
    assert set(order[::2]) == {("a", "b"), ("b", "a")}
    assert order == block_order(("a", "b"), rounds=40, seed=1)


def test_order_of_many_arms_is_balanced() -> None:
    order = block_order(tuple("abcd"), rounds=400, seed=0)
    places = Counter((key, place) for keys in order for place, key in enumerate(keys))
    assert len(order) == 400
    assert all(70 <= count <= 130 for count in places.values())


def _found(section: Section) -> SectionFindings:
    return findings_from_section(section, cores=2)


def _arms(*keys: str) -> list[Arm]:
    return [Arm(key=key, label=key, model="") for key in keys]


@pytest.mark.parametrize("rate_rps", [0.0, 100.0])
def test_a_block_goes_on_with_the_frame_after_the_block_before(rate_rps: float) -> None:
    """A slow side would else be given the first frames alone, and the fast one all of them."""
    sent: list[int] = []
    mode: LoadMode = "open" if rate_rps else "closed"
    load = Load(mode=mode, block_s=0.05, rounds=3, rate_rps=rate_rps, arrivals="paced")

    def send(index: int) -> None:
        sent.append(index)
        time.sleep(0.004)

    contender = contender_from_sender(_arms("slow")[0], send, load)
    counts = []
    for number in range(3):
        contender.lead_in()
        del sent[sum(counts) :]  # what led in does not count
        counts.append(contender.run_block(load.block_s, number).request_count)
    assert sent == list(range(sum(counts)))
    assert min(counts) > 1


def test_a_real_difference_is_found_and_its_interval_holds_it() -> None:
    arms = _arms("slow", "fast")
    load = Load(mode="closed", block_s=0.12, rounds=6)
    section = run_comparison(
        [
            contender_from_sender(arms[0], lambda index: time.sleep(0.012), load),
            contender_from_sender(arms[1], lambda index: time.sleep(0.004), load),
        ],
        load=load,
    )
    assert section.complete
    assert [len(section.blocks_of(key)) for key in ("slow", "fast")] == [6, 6]
    slow, fast = summaries_from_section(section)
    assert slow.is_first
    gain = fast.gain("p50")
    assert gain is not None
    assert 1.5 < gain.low < gain.estimate < gain.high < 4, "3, and less where the machine is busy"
    assert fast.latency["p99"] is None
    assert fast.gain("p99") is None
    table = comparison_table(_found(section))
    assert "slow" in table
    assert "×" in table
    assert "P95 is printed from 130 requests on, P99 from 662" in table


def test_the_table_says_when_other_programs_were_busy() -> None:
    record = build_record()
    section = record.sections[0]
    assert "other programs" not in comparison_table(_found(section))
    busy = tuple(replace(block, observed=replace(block.observed, other_cpu_cores=1e4)) for block in section.blocks)
    table = comparison_table(_found(replace(section, blocks=busy)))
    assert "other programs used 10000.0 of" in table
    assert "stop them" in table


def test_open_loop_gives_both_sides_the_same_arrivals() -> None:
    arms = _arms("a", "b")
    load = Load(mode="open", block_s=0.2, rounds=2, rate_rps=100, arrivals="poisson", seed=5)
    section = run_comparison([contender_from_sender(arm, lambda index: None, load) for arm in arms], load=load)
    for number in range(2):
        first, second = (block.samples.scheduled_ns for block in section.blocks if block.round == number)
        assert first == second
        assert len(first) == 20


@pytest.mark.parametrize("rate_rps", [29.97, 7.5, 3.0])
@pytest.mark.parametrize("arrivals", ["paced", "poisson"])
def test_an_arm_keeps_a_rate_of_which_a_block_holds_no_whole_number(rate_rps: float, arrivals: str) -> None:
    load = Load(mode="open", block_s=0.5, rounds=1, rate_rps=rate_rps, arrivals=arrivals)
    contender = replace(contender_from_sender(_arms("a")[0], lambda index: None, load), warm_up=lambda: None)
    section = run_comparison([contender], load=load)
    (summary,) = summaries_from_section(section)
    assert summary.frames_per_s == pytest.approx(rate_rps, rel=0.05)
    assert not is_overloaded(section, summary)


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), ServerUnavailableError("gone")])
def test_an_interrupted_comparison_leaves_what_it_has(failure: BaseException) -> None:
    arms = _arms("a", "b")
    load = Load(mode="closed", block_s=0.02, rounds=5)
    kept: list[Section] = []

    def sender(index: int) -> None:
        time.sleep(0.002)
        if kept and len(kept[-1].blocks) == 3:
            raise failure

    with pytest.raises(type(failure)):
        run_comparison([contender_from_sender(arm, sender, load) for arm in arms], load=load, on_section=kept.append)
    assert len(kept[-1].blocks) == 3
    assert not kept[-1].complete
    assert kept[-1].stopped_by.startswith("Ctrl-C" if isinstance(failure, KeyboardInterrupt) else "ServerUnavailable")


class SleepingPipeline:
    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def run(self, frames: Iterable[Frame]) -> Iterator[FrameResult]:
        for frame in frames:
            begun_ns = time.perf_counter_ns()
            time.sleep(self._seconds)
            finished_ns = time.perf_counter_ns()
            yield FrameResult(
                frame=frame,
                detections=empty_detections(),
                begun_ns=begun_ns,
                finished_ns=finished_ns,
                prepare_ns=1,
                wire_ns=finished_ns - begun_ns,
                decode_ns=2,
            )


def test_two_pipelines_on_the_same_frames() -> None:
    section = compare_pipelines(
        SleepingPipeline(0.008), SleepingPipeline(0.002), [build_frame()], seconds=1.0, labels=("textbook", "ours")
    )
    baseline, optimised = summaries_from_section(section)
    assert baseline.latency["p50"] is not None
    assert baseline.latency["p50"] >= 8e6
    gain = optimised.gain("frames_per_s")
    assert gain is not None
    assert 1.3 < gain.low <= gain.estimate, "4, and less where the machine is busy"
    assert np.mean(section.blocks[0].stages_ns["prepare"]) == 1
    assert comparison_table(_found(section)).splitlines()[2].startswith("textbook")
