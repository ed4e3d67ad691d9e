"""A cell's Prometheus metrics: what was due, what became of it with the cause as a label, latency, connections."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import Any, get_args

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from photofinish.client.cameras.endpoint.board import CellBoard, LatencyBuckets
from photofinish.client.cameras.values.outcome import CameraDropCause
from photofinish.client.cameras.values.status import (
    CameraStatus,
    CellStatus,
    DecodeWay,
    DegradeStep,
    IngestPhase,
    Quality,
)
from photofinish.client.pipeline.frame_result import LATENCY_BUCKETS_S

_CAMERA = ["camera"]
_Values = Mapping[tuple[str, str], Callable[[CameraStatus], float]]
"""By name and description."""
_WORDS: Mapping[str, Callable[[CameraStatus], str]] = {
    "quality": lambda row: row.quality,
    "step": lambda row: row.step,
    "decode": lambda row: row.decode,
}


class CellCollector(Collector):
    """Reads the board when Prometheus asks. A camera that was removed has no metrics any more."""

    def __init__(self, board: CellBoard) -> None:
        self._board = board

    def collect(self) -> Iterator[Any]:
        """All metrics; none before the cell's first status."""
        status = self._board.status
        if status is None:
            return
        yield from _counters(status)
        yield from _gauges(status)
        yield _latency(status, self._board.latencies())
        yield from _cell(status)


def _counters(status: CellStatus) -> Iterator[CounterMetricFamily]:
    dropped = CounterMetricFamily(
        "photofinish_camera_frames_dropped",
        "Frames that were due and were not inferred, each with one cause",
        labels=["camera", "cause"],
    )
    for row in status.cameras:
        for cause in CameraDropCause:
            dropped.add_metric([row.camera, cause.value], row.count.dropped.get(cause, 0))
    yield dropped
    values: _Values = {
        ("frames_due", "Frames that were due by the schedule"): lambda row: row.count.due,
        ("frames_inferred", "Frames whose detections came back"): lambda row: row.count.inferred,
        ("frames_decoded", "Pictures decoded"): lambda row: row.decoded,
        ("reconnects", "Connections after the first one"): lambda row: max(row.ingest.connections - 1, 0),
        ("stalls", "Times without a picture"): lambda row: row.ingest.stalls,
        ("lost_packets", "Packets lost on the way"): lambda row: row.ingest.lost_packets,
        ("received_bytes", "Bytes received"): lambda row: row.ingest.received_bytes,
    }
    for (name, words), value in values.items():
        family = CounterMetricFamily(f"photofinish_camera_{name}", words, labels=_CAMERA)
        for row in status.cameras:
            family.add_metric([row.camera], value(row))
        yield family


def _gauges(status: CellStatus) -> Iterator[GaugeMetricFamily]:
    values: _Values = {
        ("frames_pending", "Frames that are due and have no outcome yet"): lambda row: row.count.pending,
        ("fps", "Frames inferred a second, over the last 5 s"): lambda row: row.served_fps,
        ("wanted_fps", "Frames due a second"): lambda row: row.wanted_fps,
        ("sent_fps", "Pictures that the camera sends a second"): lambda row: row.ingest.measured_fps or 0.0,
        ("connected", "1 while pictures come"): lambda row: float(row.ingest.phase is IngestPhase.PLAYING),
    }
    for (name, words), value in values.items():
        family = GaugeMetricFamily(f"photofinish_camera_{name}", words, labels=_CAMERA)
        for row in status.cameras:
            family.add_metric([row.camera], value(row))
        yield family
    yield _words(status, "quality", "1 at the word for the camera's connection", get_args(Quality))
    yield _words(status, "step", "1 at how much of the camera is served", get_args(DegradeStep))
    yield _words(status, "decode", "1 at what decodes the camera; pool is keyframes alone", get_args(DecodeWay))


def _words(status: CellStatus, field: str, about: str, words: tuple[str, ...]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"photofinish_camera_{field}", about, labels=["camera", field])
    for row in status.cameras:
        for word in words:
            family.add_metric([row.camera, word], float(_WORDS[field](row) == word))
    return family


def _latency(status: CellStatus, latencies: dict[str, LatencyBuckets]) -> HistogramMetricFamily:
    family = HistogramMetricFamily(
        "photofinish_camera_latency_seconds", "From capture to the boxes being there", labels=_CAMERA
    )
    bounds = [*(str(bound) for bound in LATENCY_BUCKETS_S), "+Inf"]
    for row in status.cameras:
        found = latencies.get(row.camera)
        if found is not None:
            buckets = list(zip(bounds, map(float, accumulate(found.counts)), strict=True))
            family.add_metric([row.camera], buckets, found.sum_s)
    return family


def _cell(status: CellStatus) -> Iterator[Any]:
    cameras = GaugeMetricFamily("photofinish_cell_cameras", "Cameras that are watched", value=len(status.cameras))
    served = GaugeMetricFamily("photofinish_cell_served", "1 while the server answers")
    served.add_metric([], float(not status.server_message))
    lost = CounterMetricFamily("photofinish_cell_lost_events", "Events a receiver was too slow for", labels=["output"])
    for output, count in status.lost_events.items():
        lost.add_metric([output], count)
    restarts = CounterMetricFamily("photofinish_cell_process_restarts", "Processes started again", labels=["process"])
    for process, count in status.restarts.items():
        restarts.add_metric([process], count)
    yield from (cameras, served, lost, restarts)


def registry_of_cell(board: CellBoard) -> CollectorRegistry:
    """What the endpoint serves of the cell."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(CellCollector(board))
    return registry
