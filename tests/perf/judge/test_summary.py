"""What blocks amount to together."""

from __future__ import annotations

from dataclasses import replace

import pytest

from photofinish.perf.judge.findings import findings_from_section
from photofinish.perf.judge.stages import stage_rows
from photofinish.perf.judge.summary import summaries_from_section
from photofinish.perf.record.observation import TritonMeans, joined_means
from photofinish.perf.record.record import Block, Section
from photofinish.perf.record.samples import Samples
from photofinish.perf.report.sweep_tables import sweep_rows
from photofinish.perf.report.words import ENGLISH
from tests.perf.records import build_comparison, build_sweep


def _means(requests: int, time_us: float, images: int = 1) -> TritonMeans:
    return TritonMeans(
        requests=requests,
        failures=0,
        inferences=requests * images,
        executions=requests,
        request_us=time_us,
        queue_us=time_us,
        compute_input_us=time_us,
        compute_infer_us=time_us,
        compute_output_us=time_us,
    )


def test_every_request_of_the_server_counts_once() -> None:
    joined = joined_means([_means(1, 1000.0, images=8), None, _means(99, 10.0)])
    assert joined is not None
    assert (joined.requests, joined.inferences) == (100, 107)
    assert joined.request_us == joined.queue_us == pytest.approx((1000 + 99 * 10) / 100)
    assert joined.mean_batch == pytest.approx(1.07)
    assert joined_means([]) is joined_means([None, _means(0, 5.0)]) is None


def test_time_outside_the_server_is_never_less_than_none() -> None:
    """A block with one slow request among quick ones: a mean of means would be longer than the whole."""
    section = build_comparison()
    blocks = [block for block in section.blocks if block.arm == "optimised"]
    slow = _lasting(blocks[0], [100_000_000], _means(1, 99_000.0))
    quick = [_lasting(block, [1_000_000] * 30, _means(30, 900.0)) for block in blocks[1:]]
    section = replace(section, blocks=(slow, *quick, *(block for block in section.blocks if block.arm == "baseline")))
    summary = summaries_from_section(section)[1]
    assert summary.outside_server_us is not None
    assert summary.outside_server_us > 0
    row = next(item for item in stage_rows(section) if item.arm.key == "optimised")
    assert row.stage_us["queue"] == pytest.approx(summary.queue_us)


def test_a_slow_lead_in_leaves_the_time_outside_the_server_unknown() -> None:
    """The server counts the lead-in's requests too; on a busy machine they may outweigh the measured ones."""
    section = build_comparison()
    slow_server = [_lasting(block, [1_000_000] * 5, _means(8, 4000.0)) for block in section.blocks]
    assert summaries_from_section(replace(section, blocks=tuple(slow_server)))[1].outside_server_us is None


def _lasting(block: Block, latencies_ns: list[int], triton: TritonMeans) -> Block:
    due = tuple(range(len(latencies_ns)))
    done = tuple(at + latency for at, latency in zip(due, latencies_ns, strict=True))
    samples = Samples(scheduled_ns=due, sent_ns=due, done_ns=done, window_ns=max(done))
    return replace(block, samples=samples, observed=replace(block.observed, triton=triton))


def test_a_row_of_perf_analyzers_own_figures_has_its_throughput() -> None:
    """Without shared memory there are no request times, and a window of 0."""
    section = build_sweep()
    empty = Samples(scheduled_ns=(), sent_ns=(), done_ns=(), window_ns=0)
    reported = {"Inferences/Second": 412.0, "p50 latency": 2400.0}
    section = _with_first(section, samples=empty, reported=reported)
    summary = summaries_from_section(section)[0]
    assert summary.frames_per_s == 412.0
    assert summary.latency["p50"] == 2_400_000
    assert "412" in sweep_rows(findings_from_section(section, cores=2), ENGLISH)[1][0]


def _with_first(section: Section, **changes: object) -> Section:
    key = section.arms[0].key
    blocks = tuple(replace(block, **changes) if block.arm == key else block for block in section.blocks)  # type: ignore[arg-type]
    return replace(section, blocks=blocks)
