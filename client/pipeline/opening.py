"""The two pipelines: what both offer, and the one that fits the role of a variant."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from types import TracebackType
from typing import Protocol

from photofinish.client.pipeline.baseline import BaselinePipeline
from photofinish.client.pipeline.frame_result import DropCause, FrameCount, FrameResult, PipelineObserver
from photofinish.client.pipeline.metrics import ClientMetrics
from photofinish.client.pipeline.optimised import OptimisedPipeline
from photofinish.client.triton.served import ServedModel, TritonClient
from photofinish.client.triton.session import ignore_notice
from photofinish.client.triton.transport import Transport, TransportChoice
from photofinish.errors import ConfigError, ModelNotFoundError
from photofinish.frame import Frame
from photofinish.model_card import ModelCard
from photofinish.names import chosen_by_name

__all__ = [
    "BaselinePipeline",
    "DropCause",
    "FrameCount",
    "FrameResult",
    "OptimisedPipeline",
    "Pipeline",
    "PipelineObserver",
    "choose_model",
    "open_pipeline",
]


class Pipeline(Protocol):
    """What both pipelines offer. A context manager."""

    model: ServedModel
    card: ModelCard

    def __enter__(self) -> Pipeline:
        """The pipeline itself."""
        ...

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close its connections and give its memory back."""

    @property
    def transport(self) -> Transport:
        """How the pictures travel."""
        ...

    @property
    def counts(self) -> FrameCount:
        """Where the frames went so far."""
        ...

    @property
    def dropped(self) -> int:
        """Frames that were due and not inferred, all causes."""
        ...

    def run(self, frames: Iterable[Frame]) -> Generator[FrameResult, None, None]:
        """One result per frame, in frame order."""
        ...

    def process(self, frame: Frame) -> FrameResult:
        """The result of one frame. Not counted in `counts`."""
        ...


def open_pipeline(
    url: str,
    variant: str | None = None,
    *,
    http_url: str | None = None,
    transport: TransportChoice = "auto",
    drop_late: bool = False,
    min_confidence: float = 0.25,
    timeout_s: float = 10.0,
    on_notice: Callable[[str], None] = ignore_notice,
    metrics: ClientMetrics | None = None,
) -> Pipeline:
    """The pipeline that fits the role of a served variant: the textbook one for a baseline, else the optimised one.

    variant: full name or suffix; the first optimised one without. transport, drop_late and http_url, the server's HTTP
    endpoint where it is known, concern the optimised only. metrics: where its frames are counted for Prometheus.
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
        http_url=http_url,
        transport=transport,
        drop_late=drop_late,
        min_confidence=min_confidence,
        timeout_s=timeout_s,
        on_notice=on_notice,
        observer=observer,
    )


def choose_model(roles: Mapping[str, str], wanted: str | None, *, where: str) -> str:
    """A model's name from its full name or suffix (`onnx_fp16`); without one the first whose role is optimised.

    roles: model name to role ("" where unknown), in the order of preference. where: the server or repository, for
    the ModelNotFoundError that lists what there is.
    """
    if wanted is None:
        if not roles:
            raise ModelNotFoundError(f"{where} has no model; run `photofinish export` first", url=where)
        return next((name for name, role in roles.items() if role == "optimised"), next(iter(roles)))
    try:
        return chosen_by_name(roles, wanted, where=where)
    except ConfigError as exc:
        raise ModelNotFoundError(str(exc), model=wanted, url=where) from exc
