"""The two pipelines, by the role of a variant."""

from __future__ import annotations

from collections.abc import Callable

from photofinish.client.pipeline.baseline import BaselinePipeline
from photofinish.client.pipeline.frame_result import DropCause, FrameCount, FrameResult, PipelineObserver
from photofinish.client.pipeline.metrics import ClientMetrics
from photofinish.client.pipeline.optimised import OptimisedPipeline
from photofinish.client.triton.choice import choose_model
from photofinish.client.triton.served import TritonClient
from photofinish.client.triton.session import TransportChoice, ignore_notice

__all__ = [
    "BaselinePipeline",
    "DropCause",
    "FrameCount",
    "FrameResult",
    "OptimisedPipeline",
    "Pipeline",
    "PipelineObserver",
    "open_pipeline",
]

Pipeline = BaselinePipeline | OptimisedPipeline


def open_pipeline(
    url: str,
    variant: str | None = None,
    *,
    transport: TransportChoice = "auto",
    drop_late: bool = False,
    min_confidence: float = 0.25,
    timeout_s: float = 10.0,
    on_notice: Callable[[str], None] = ignore_notice,
    metrics: ClientMetrics | None = None,
) -> Pipeline:
    """The pipeline that fits the role of a served variant: the textbook one for a baseline, else the optimised one.

    variant: full name or suffix; the first optimised one without. transport and drop_late concern the optimised only.
    metrics: where its frames are counted for Prometheus.
    """
    with TritonClient(url, timeout_s=timeout_s) as client:
        models = client.models()
    roles = {model.name: model.card.role if model.card else "" for model in models}
    name = choose_model(roles, variant, where=url)
    observer = metrics.observer(side=roles[name] or "optimised", variant=name) if metrics else None
    if roles[name] == "baseline":
        return BaselinePipeline(url, name, min_confidence=min_confidence, timeout_s=timeout_s, observer=observer)
    return OptimisedPipeline(
        url,
        name,
        transport=transport,
        drop_late=drop_late,
        min_confidence=min_confidence,
        timeout_s=timeout_s,
        on_notice=on_notice,
        observer=observer,
    )
