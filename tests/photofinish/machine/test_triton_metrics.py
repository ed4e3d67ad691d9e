"""The metrics page is read as Prometheus' own parser reads it."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from photofinish.errors import ServerUnavailableError
from photofinish.machine.triton_metrics import metrics_from_text, read_metrics, sum_of

PAGE = """# HELP nv_inference_count Number of inferences
# TYPE nv_inference_count counter
nv_inference_count{model="toy",version="1"} 3
nv_inference_count{model="toy",version="2"} 4.5
nv_inference_count{model="toy_b",version="1"} 7
nv_gpu_power_usage{gpu_uuid="GPU-1"} NaN
nv_pinned_memory_pool_used_bytes 1e6
photofinish_instance_gpu_memory_bytes{device="cuda:0",instance="1",model="toy"} 209715200.000000 1700000000000

not a metric at all
half{model="toy"
wrong{model="toy"} many
"""


def test_values_are_added_up_over_the_labels_that_are_not_asked_for() -> None:
    found = tuple(metrics_from_text(PAGE))
    assert sum_of(found, "nv_inference_count", model="toy") == 7.5
    assert sum_of(found, "nv_inference_count", model="toy", version="2") == 4.5
    assert sum_of(found, "nv_inference_count") == 14.5
    assert sum_of(found, "nv_pinned_memory_pool_used_bytes") == 1_000_000
    assert sum_of(found, "photofinish_instance_gpu_memory_bytes", model="toy") == 200 << 20
    assert sum_of(found, "nv_inference", model="toy") == sum_of(found, "nv_inference_count", model="to") == 0
    assert len(found) == 6


def test_labels_with_marks_of_the_format_are_read_as_prometheus_reads_them() -> None:
    registry = CollectorRegistry()
    gauge = Gauge("toy", "A gauge", ("name", "path"), registry=registry)
    for name, path in (("a", "b"), ('say "hello"', "c:\\d"), ("two\nlines", "x=1,y}"), ("", "é")):
        gauge.labels(name, path).set(len(name))
    page = generate_latest(registry).decode()
    theirs = [
        (sample.name, sample.labels, sample.value)
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    ]
    assert [(item.name, dict(item.labels), item.value) for item in metrics_from_text(page)] == theirs


def test_nobody_there() -> None:
    with pytest.raises(ServerUnavailableError, match=r"no metrics at 127\.0\.0\.1:1: "):
        read_metrics("127.0.0.1:1")
