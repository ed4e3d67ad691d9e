from __future__ import annotations

import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from photofinish.client.pipeline.metrics import ClientMetrics, MetricsEndpoint
from photofinish.client.pipeline.opening import BaselinePipeline, OptimisedPipeline
from photofinish.errors import ConfigError
from tests.builders import build_frame
from tests.client.fake_triton import FakeTriton


def scrape(endpoint: MetricsEndpoint) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    with urllib.request.urlopen(endpoint.url, timeout=60) as response:
        text = response.read().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_prometheus_sees_what_the_pipelines_counted():
    metrics = ClientMetrics()
    name = "toy_onnx_fp32"
    with FakeTriton() as server, MetricsEndpoint(metrics.registry) as endpoint:
        assert endpoint.url.startswith("http://127.0.0.1:")
        for side, kind in (("baseline", BaselinePipeline), ("optimised", OptimisedPipeline)):
            with kind(server.url, name, observer=metrics.observer(side=side, variant=name)) as pipeline:
                results = list(pipeline.run([build_frame(index=index) for index in (0, 1, 4)]))
                assert pipeline.counts.done == 3
            found = scrape(endpoint)
            labels = (("side", side), ("stream", "test"), ("variant", name))
            assert found["photofinish_frames_total", labels] == 3
            assert found["photofinish_frames_dropped_total", (("cause", "late"), *labels)] == 2
            assert found["photofinish_latency_seconds_count", labels] == 3
            total_s = sum(result.latency_ns for result in results) / 1e9
            assert found["photofinish_latency_seconds_sum", labels] == pytest.approx(total_s)
            buckets = [value for (metric, _), value in found.items() if metric == "photofinish_latency_seconds_bucket"]
            assert max(buckets) == 3


def test_a_taken_port_is_one_clear_error():
    metrics = ClientMetrics()
    with (
        MetricsEndpoint(metrics.registry) as endpoint,
        pytest.raises(ConfigError, match="choose another --metrics-port"),
    ):
        MetricsEndpoint(metrics.registry, port=endpoint.port)
