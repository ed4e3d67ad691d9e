from __future__ import annotations

from typing import get_args

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.samples import Sample

from photofinish.client.pipeline.frame_result import DropCause, FrameResult
from photofinish.client.pipeline.metrics import ClientMetrics
from photofinish.client.ui.page.metrics import BoardCollector
from photofinish.client.ui.processes.board import RING_SIZE, Board, BoardMemory, numbers_from_board
from photofinish.client.ui.processes.scribe import PANEL_WH, Scribe
from photofinish.client.ui.processes.slots import PictureMemory, PictureWriter
from photofinish.detections import empty_detections
from tests.builders import build_card, build_frame

SECOND = 1_000_000_000


def filled_board(*, frames: int, interval_ms: float = 50.0, end_ns: int = 100 * SECOND) -> Board:
    board = Board(BoardMemory())
    for number in range(frames):
        finished_ns = end_ns - int((frames - 1 - number) * interval_ms * 1e6)
        board.record(finished_ns=finished_ns, latency_ns=(number + 1) * 1_000_000, found=2, dropped=1)
    return board


def test_rate_and_nearest_rank_percentiles() -> None:
    numbers = numbers_from_board(filled_board(frames=200, interval_ms=25), 100 * SECOND)
    assert numbers.frames_per_s == pytest.approx(40, rel=0.01)
    assert (numbers.p50_ms, numbers.p95_ms) == (100.0, 190.0)
    assert (numbers.frames_done, numbers.frames_dropped) == (200, 200)
    assert numbers.recall is None


@pytest.mark.parametrize(
    ("frames", "has_p50", "has_p95"),
    [(0, False, False), (1, True, False), (129, True, False), (130, True, True)],
)
def test_tails_are_refused_for_small_samples(frames: int, has_p50: bool, has_p95: bool) -> None:
    numbers = numbers_from_board(filled_board(frames=frames, interval_ms=1), 100 * SECOND)
    assert (numbers.p50_ms is not None, numbers.p95_ms is not None) == (has_p50, has_p95)
    assert (numbers.p95_missing, numbers.p99_missing) == (max(130 - frames, 0), 662 - frames)


def test_p95_of_a_slow_side_takes_the_frames_it_needs_from_before_the_window() -> None:
    """Five frames a second: the window of 5 s holds 25, P95 needs 130."""
    board = filled_board(frames=200, interval_ms=200)
    numbers = numbers_from_board(board, 100 * SECOND)
    assert (numbers.p50_ms, numbers.p95_ms, numbers.p95_missing) == (185.0, 194.0, 0)
    slower = numbers_from_board(filled_board(frames=200, interval_ms=600, end_ns=200 * SECOND), 200 * SECOND)
    assert (slower.p50_ms, slower.p95_ms, slower.p95_missing) == (185.0, 194.0, 0), "samples count, not seconds"
    assert slower.frames_per_s == pytest.approx(1 / 0.6)
    stopped = numbers_from_board(board, 161 * SECOND)
    assert (stopped.p95_ms, stopped.p95_missing) == (None, 130)


def test_p99_of_as_many_frames_as_it_needs() -> None:
    numbers = numbers_from_board(filled_board(frames=700, interval_ms=50), 100 * SECOND)
    assert (numbers.p99_ms, numbers.p99_missing) == (694.0, 0)


def test_one_frame_gives_a_rate_and_a_median() -> None:
    board = Board(BoardMemory())
    board.record(finished_ns=100 * SECOND, latency_ns=2_600_000_000, found=1)
    numbers = numbers_from_board(board, 101 * SECOND)
    assert (numbers.rate_frames, numbers.rate_s, numbers.p50_ms) == (1, 2.6, 2600.0)
    assert numbers.frames_per_s == pytest.approx(1 / 2.6)


def test_a_side_that_stopped_loses_its_rate() -> None:
    board = filled_board(frames=100)
    fresh = numbers_from_board(board, 100 * SECOND).frames_per_s
    later = numbers_from_board(board, 103 * SECOND).frames_per_s
    assert fresh is not None
    assert later is not None
    assert later < fresh / 2
    assert numbers_from_board(board, 161 * SECOND).frames_per_s is None


def test_the_ring_keeps_the_newest() -> None:
    board = filled_board(frames=RING_SIZE + 10, interval_ms=0.1)
    samples = board.samples_since(0)
    assert len(samples) == RING_SIZE
    assert samples["latency_ns"][-1] == (RING_SIZE + 10) * 1_000_000
    assert board.frames_done == RING_SIZE + 10


def test_recall_and_precision_over_known_frames() -> None:
    board = Board(BoardMemory())
    for truth, matched in ((4, 3), (-1, 0), (4, 1)):
        board.record(finished_ns=SECOND, latency_ns=1, found=5, truth=truth, matched=matched)
    numbers = numbers_from_board(board, SECOND)
    assert numbers.recall == pytest.approx(0.5)
    assert numbers.precision == pytest.approx(0.4)


def test_reset_forgets() -> None:
    board = filled_board(frames=30)
    board.reset()
    assert numbers_from_board(board, 100 * SECOND).frames_done == 0
    assert len(board.samples_since(1)) == 0


def test_the_views_metrics_are_those_of_the_pipelines() -> None:
    """One name, one set of buckets, and every cause a DropCause."""
    boards, pipelines = CollectorRegistry(), ClientMetrics()
    boards.register(BoardCollector({"baseline": filled_board(frames=30)}, lambda side: "toy"))
    pipelines.latency.labels("baseline", "toy", "cam").observe(0.0125)

    def samples(registry: CollectorRegistry) -> list[Sample]:
        return [sample for family in registry.collect() for sample in family.samples]

    bounds = [
        [sample.labels["le"] for sample in samples(registry) if sample.name == "photofinish_latency_seconds_bucket"]
        for registry in (boards, pipelines.registry)
    ]
    assert bounds[0] == bounds[1]
    causes = {sample.labels["cause"] for sample in samples(boards) if "cause" in sample.labels}
    assert causes == {"late", "turn", "error"}
    assert causes <= set(get_args(DropCause))


def test_prometheus_reads_the_same_counters() -> None:
    registry = CollectorRegistry()
    registry.register(
        BoardCollector({"baseline": filled_board(frames=30), "optimised": Board(BoardMemory())}, lambda side: "toy")
    )
    text = generate_latest(registry).decode()
    left = 'side="baseline",stream="split-view",variant="toy"'
    assert f"photofinish_frames_total{{{left}}} 30.0" in text
    assert f'photofinish_frames_dropped_total{{cause="late",{left}}} 30.0' in text
    assert f'photofinish_latency_seconds_bucket{{le="0.01",{left}}} 10.0' in text
    assert f'photofinish_latency_seconds_bucket{{le="+Inf",{left}}} 30.0' in text
    assert 'photofinish_frames_total{side="optimised",stream="split-view",variant="toy"} 0.0' in text


def test_every_frame_is_accounted_for_over_a_restart() -> None:
    """Frames 0 to 9: 0, 1 and 7 to 9 are done, 2 fails, 3 to 6 pass while the side's process is started again."""
    memory, panel = BoardMemory(), PictureWriter(PictureMemory(max_pixels=PANEL_WH[0] * PANEL_WH[1]))
    for indices in ((0, 1), (7, 8, 9)):
        board = Board(memory)
        scribe = Scribe(board, panel, build_card(), counts_waiting=False)
        for index in indices:
            scribe.take(
                FrameResult(frame=build_frame(index=index), detections=empty_detections(), begun_ns=0, finished_ns=1,
                            prepare_ns=0, wire_ns=0, decode_ns=0)
            )  # fmt: skip
        if index == 1:
            board.count_failed()
    assert (board.frames_done, board.frames_failed, board.frames_dropped) == (5, 1, 4)
    assert board.next_index == 10
    numbers = numbers_from_board(board, SECOND)
    assert numbers.frames_failed == 1
    board.reset()
    assert (board.frames_failed, board.next_index) == (0, 0)
