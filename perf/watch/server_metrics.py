"""Triton's queue and compute times over a window, from its Prometheus counters."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

from photofinish.errors import ServerUnavailableError
from photofinish.perf.record.observation import TritonMeans

_COUNTERS: Mapping[str, str] = {
    "nv_inference_request_success": "requests",
    "nv_inference_request_failure": "failures",
    "nv_inference_count": "inferences",
    "nv_inference_exec_count": "executions",
    "nv_inference_request_duration_us": "request_us",
    "nv_inference_queue_duration_us": "queue_us",
    "nv_inference_compute_input_duration_us": "compute_input_us",
    "nv_inference_compute_infer_duration_us": "compute_infer_us",
    "nv_inference_compute_output_duration_us": "compute_output_us",
}

Counters = Mapping[str, float]


def counters_from_text(text: str, model: str) -> dict[str, float]:
    """One model's counters from Triton's metrics page, all versions and reasons added up."""
    counters = dict.fromkeys(_COUNTERS.values(), 0.0)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = _COUNTERS.get(sample.name.removesuffix("_total"))  # the parser adds it to every counter
            if key and sample.labels.get("model") == model:
                counters[key] += sample.value
    return counters


def read_counters(metrics_url: str, model: str, *, timeout_s: float = 3.0) -> dict[str, float]:
    """One model's counters now. metrics_url: host:port. Raises ServerUnavailableError."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{metrics_url}/metrics", timeout=timeout_s) as answer:
            text = answer.read().decode()
    except (OSError, ValueError, urllib.error.URLError) as exc:
        raise ServerUnavailableError(
            f"no metrics at {metrics_url}: {exc}; pass --metrics-url, or --metrics-url none to do without",
            model=model,
            url=metrics_url,
        ) from exc
    return counters_from_text(text, model)


def means_between(before: Counters, after: Counters) -> TritonMeans:
    """What happened between two readings; the means are 0 when no request was finished."""
    grown = {key: after[key] - before[key] for key in before}
    requests = max(grown["requests"], 0.0)

    def mean(key: str) -> float:
        return grown[key] / requests if requests else 0.0

    return TritonMeans(
        requests=int(requests),
        failures=int(grown["failures"]),
        inferences=int(grown["inferences"]),
        executions=int(grown["executions"]),
        request_us=mean("request_us"),
        queue_us=mean("queue_us"),
        compute_input_us=mean("compute_input_us"),
        compute_infer_us=mean("compute_infer_us"),
        compute_output_us=mean("compute_output_us"),
    )
