"""Triton's queue and compute times over a window, from its Prometheus counters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from photofinish.errors import ServerUnavailableError
from photofinish.machine.triton_metrics import Metric, read_metrics, sum_of
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


def counters_from_metrics(metrics: Iterable[Metric], model: str) -> dict[str, float]:
    """One model's counters, all versions and reasons added up."""
    found = tuple(metrics)
    return {key: sum_of(found, name, model=model) for name, key in _COUNTERS.items()}


def read_counters(metrics_url: str, model: str) -> dict[str, float]:
    """One model's counters now. metrics_url: host:port. Raises ServerUnavailableError."""
    try:
        return counters_from_metrics(read_metrics(metrics_url), model)
    except ServerUnavailableError as exc:
        remedy = "pass --metrics-url, or --metrics-url none to do without"
        raise ServerUnavailableError(f"{exc}; {remedy}", model=model, url=metrics_url) from exc


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
