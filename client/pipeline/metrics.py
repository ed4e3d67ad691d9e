"""The client's own Prometheus metrics: end-to-end latency, frames done and frames dropped, by variant and stream."""

from __future__ import annotations

from types import TracebackType

from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server

from photofinish.client.pipeline.frame_result import LATENCY_BUCKETS_S, DropCause, FrameResult
from photofinish.client.pipeline.part import Crops
from photofinish.errors import ConfigError
from photofinish.machine.addresses import LOOPBACK

LABELS = ("side", "variant", "stream")
"""side: baseline or optimised, the variant's role. stream: the frames' stream_id. Several models are `one+other`."""


class ClientMetrics:
    """Counters of any number of pipelines in one registry. `observer` gives each pipeline its ears."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.latency = Histogram(
            "photofinish_latency_seconds",
            "From the picture being there to its detections being there",
            LABELS,
            buckets=LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        self.done = Counter("photofinish_frames", "Frames whose detections came back", LABELS, registry=self.registry)
        self.dropped = Counter(
            "photofinish_frames_dropped",
            "Frames that were due and were not inferred",
            (*LABELS, "cause"),
            registry=self.registry,
        )
        self.parts = Counter(
            "photofinish_part_frames",
            "Frames that one of several models looked at, by how it answered: answered, late, failed",
            ("variant", "stream", "outcome"),
            registry=self.registry,
        )
        self.crops = Counter(
            "photofinish_part_crops",
            "Boxes of the first model for one that looks at crops, by fate: looked_at, too_small, over_limit",
            ("variant", "stream", "fate"),
            registry=self.registry,
        )

    def observer(self, *, side: str, variant: str) -> VariantMetrics:
        """What a pipeline of that variant reports to."""
        return VariantMetrics(self, side=side, variant=variant)


class VariantMetrics:
    """A PipelineObserver that counts for one variant."""

    def __init__(self, metrics: ClientMetrics, *, side: str, variant: str) -> None:
        self._metrics = metrics
        self._labels = (side, variant)

    def on_result(self, result: FrameResult) -> None:
        """Count the frame and its latency."""
        labels = (*self._labels, result.frame.stream_id)
        self._metrics.done.labels(*labels).inc()
        self._metrics.latency.labels(*labels).observe(result.latency_ns / 1e9)
        for part in result.parts:
            self._metrics.parts.labels(part.variant, result.frame.stream_id, part.outcome).inc()
            if part.crops:
                self._count_crops(part.variant, result.frame.stream_id, part.crops)

    def on_drop(self, stream_id: str, cause: DropCause, count: int) -> None:
        """Count the drops."""
        self._metrics.dropped.labels(*self._labels, stream_id, cause).inc(count)

    def _count_crops(self, variant: str, stream_id: str, crops: Crops) -> None:
        fates = (("looked_at", len(crops.looked_at)), ("too_small", crops.too_small), ("over_limit", crops.over_limit))
        for fate, count in fates:
            self._metrics.crops.labels(variant, stream_id, fate).inc(count)


class MetricsEndpoint:
    """Serves a registry at http://host:port/metrics while the block lasts."""

    def __init__(self, registry: CollectorRegistry, *, host: str = LOOPBACK, port: int = 0) -> None:
        """Listen at once; port 0 takes a free one. Raises ConfigError when the port is taken."""
        try:
            self._server, self._thread = start_http_server(port, addr=host, registry=registry)
        except OSError as exc:
            raise ConfigError(
                f"metrics cannot be served on {host}:{port}: {exc.strerror}; choose another --metrics-port"
            ) from exc
        self.port = int(self._server.server_address[1])
        self.url = f"http://{host}:{self.port}/metrics"

    def __enter__(self) -> MetricsEndpoint:
        """The endpoint itself."""
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
