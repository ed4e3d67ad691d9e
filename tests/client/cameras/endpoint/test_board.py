from __future__ import annotations

from photofinish.client.cameras.endpoint.board import KEPT_RESULTS, CellBoard
from photofinish.client.cameras.values.outcome import CameraDropCause
from photofinish.client.cameras.values.status import DropCount
from photofinish.client.pipeline.frame_result import LATENCY_BUCKETS_S
from tests.client.cameras.endpoint.statuses import camera_status, cell_status, dead_camera, inferred


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_latencies_lie_in_the_bucket_whose_bound_is_not_below_them() -> None:
    board = CellBoard()
    for latency_ms in (50.0, 50.1, 20_000.0):
        board.on_inferred(inferred(latency_ms=latency_ms))
    found = board.latencies()["door"]
    at_50_ms = LATENCY_BUCKETS_S.index(0.05)
    assert found.counts[at_50_ms] == found.counts[at_50_ms + 1] == found.counts[-1] == 1
    assert sum(found.counts) == 3
    assert abs(found.sum_s - 20.1001) < 1e-6


def test_spans_hold_what_happened_in_them_and_begin_anew_with_another_camera_of_the_name() -> None:
    clock = Clock()
    board = CellBoard(clock)
    board.on_status(cell_status(camera_status()))
    assert board.spans("door") == ()
    for count in (
        DropCount(due=10, inferred=7, dropped={CameraDropCause.TOO_OLD: 2}, pending=1),
        DropCount(due=20, inferred=12, dropped={CameraDropCause.TOO_OLD: 2, CameraDropCause.STALLED: 6}),
        DropCount(due=4, inferred=4),
    ):
        clock.now_s += 10
        board.on_status(cell_status(camera_status(count=count)))
    assert [(span.inferred, dict(span.dropped), span.seconds) for span in board.spans("door")] == [
        (7, {CameraDropCause.TOO_OLD: 2}, 10),
        (5, {CameraDropCause.STALLED: 6}, 10),
        (4, {}, 10),
    ]


def test_a_camera_that_was_removed_is_forgotten() -> None:
    board = CellBoard()
    board.on_status(cell_status(camera_status(), dead_camera()))
    board.on_inferred(inferred("yard"))
    board.on_inferred(inferred("door"))
    board.on_status(cell_status(camera_status()))
    assert set(board.latencies()) == {"door"}
    board.on_inferred(inferred("new"))  # added, and not in a status yet
    board.on_status(cell_status(camera_status()))
    assert set(board.latencies()) == {"door", "new"}


def test_boxes_are_those_of_the_nearest_frame() -> None:
    board = CellBoard()
    assert board.result_near("door", 0, 10**9) is None
    for index in range(KEPT_RESULTS + 2):
        board.on_inferred(inferred(captured_ns=index * 10**9))
    found = board.result_near("door", 5 * 10**9 + 1, 10**6)
    assert found is not None
    assert found.captured_ns == 5 * 10**9
    assert board.result_near("door", 0, 10**9) is None
