"""The view's own Prometheus metrics: frames, drops and latency of each side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from photofinish.client.pipeline.frame_result import LATENCY_BUCKETS_S, DropCause
from photofinish.client.pipeline.metrics import LABELS
from photofinish.client.ui.processes.board import Board
from photofinish.client.ui.processes.side import STREAM_ID, Side


class BoardCollector(Collector):
    """Reads the counters when Prometheus asks. Choosing another source starts them from zero."""

    def __init__(self, boards: Mapping[Side, Board], variants: Callable[[Side], str]) -> None:
        """boards: the counters of each side; variants: the variant that a side runs now."""
        self._boards = boards
        self._variants = variants

    def collect(self) -> Iterator[Any]:
        """The three metrics under the names and labels that `photofinish.client.pipeline.metrics` uses."""
        done = CounterMetricFamily("photofinish_frames", "Frames whose detections came back", labels=LABELS)
        dropped = CounterMetricFamily(
            "photofinish_frames_dropped", "Frames that were due and were not inferred", labels=[*LABELS, "cause"]
        )
        latency = HistogramMetricFamily("photofinish_latency_seconds", "Latency of a frame", labels=LABELS)
        for side, board in self._boards.items():
            labels = [side, self._variants(side), STREAM_ID]
            done.add_metric(labels, board.frames_done)
            drops: Mapping[DropCause, int] = {
                "late": board.frames_dropped,
                "turn": board.frames_passed,
                "error": board.frames_failed,
            }
            for cause, count in drops.items():
                dropped.add_metric([*labels, cause], count)
            latency.add_metric(labels, _cumulative_buckets(board), board.latency_sum_s)
        yield from (done, dropped, latency)


def _cumulative_buckets(board: Board) -> list[tuple[str, float]]:
    total = 0
    buckets: list[tuple[str, float]] = []
    bounds = [*(str(bound) for bound in LATENCY_BUCKETS_S), "+Inf"]
    for bound, count in zip(bounds, board.latency_bucket_counts, strict=True):
        total += count
        buckets.append((bound, total))
    return buckets


def registry_of_boards(boards: Mapping[Side, Board], variants: Callable[[Side], str]) -> CollectorRegistry:
    """What a MetricsEndpoint serves of the view."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(BoardCollector(boards, variants))
    return registry
