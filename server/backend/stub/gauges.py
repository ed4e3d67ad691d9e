"""An instance's memory in Triton's metrics."""

from __future__ import annotations

import os
from typing import Any

import triton_python_backend_utils as pb_utils

from ..memory import memory_figures
from ..model import ConfiguredModel


def publish_memory(model: ConfiguredModel, gpu_bytes: int) -> list[tuple[Any, Any]]:
    """The gauges, which last as long as somebody keeps them. gpu_bytes: what loading took on the GPU, 0 on the CPU."""
    gauges = []
    for figure in memory_figures(model, gpu_bytes):
        family = pb_utils.MetricFamily(name=figure.metric, description=figure.text, kind=pb_utils.MetricFamily.GAUGE)
        labels = {"model": model.name, "instance": str(os.getpid()), "device": figure.device}
        gauge = family.Metric(labels=labels)
        gauge.set(figure.byte_size)
        gauges.append((family, gauge))
    return gauges
