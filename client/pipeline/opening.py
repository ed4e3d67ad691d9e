"""The pipelines: what all offer, and the one that fits the role of a variant, or several models."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Protocol

from photofinish.client.choosing.beside import choose_beside, models_meant
from photofinish.client.choosing.crops import CropChoice, choose_crops
from photofinish.client.choosing.networks import MODEL_FLAG, choose_network
from photofinish.client.choosing.preference import candidates
from photofinish.client.pipeline.baseline import BaselinePipeline
from photofinish.client.pipeline.frame_result import DropCause, FrameCount, FrameResult, PipelineObserver
from photofinish.client.pipeline.joint import JointPipeline
from photofinish.client.pipeline.metrics import ClientMetrics
from photofinish.client.pipeline.optimised import OptimisedPipeline
from photofinish.client.pipeline.staged import StagedPipeline
from photofinish.client.triton.served import ServedModel, TritonClient
from photofinish.client.triton.session import ignore_notice
from photofinish.client.triton.transport import Transport, TransportChoice
from photofinish.errors import ConfigError, ModelNotFoundError
from photofinish.frame import Frame
from photofinish.model_card import ModelCard
from photofinish.names import chosen_by_name, names_meant

__all__ = [
    "BaselinePipeline",
    "DropCause",
    "FrameCount",
    "FrameResult",
    "JointPipeline",
    "OptimisedPipeline",
    "Pipeline",
    "PipelineObserver",
    "StagedPipeline",
    "choose_model",
    "choose_models",
    "open_pipeline",
]


class Pipeline(Protocol):
    """What all pipelines offer. A context manager. models: all that look at each frame, `model` is the first."""

    models: tuple[ServedModel, ...]
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
    model: str | None = None,
    frame_wh: tuple[int, int] | None = None,
    with_models: Sequence[str] = (),
    crops: Sequence[CropChoice] = (),
) -> Pipeline:
    """The pipeline that fits the role of a served variant: the textbook one for a baseline, else the optimised one.

    variant, model, frame_wh: which one, as `choose_model` says. with_models: further models that look at each picture,
    as `choose_beside` takes them; then the pipeline is the joint one, whatever the role. crops: models that look at the
    first one's boxes, as `choose_crops` takes them; then it is the staged one. transport, drop_late and http_url, the
    server's HTTP endpoint where it is known, do not concern the baseline. metrics: where its frames are counted for
    Prometheus.
    """
    with TritonClient(url, timeout_s=timeout_s) as client:
        models = client.models()
    cards = {item.name: item.card for item in models}
    name, *beside = choose_models(
        cards, variant, with_models, where=url, model=model, frame_wh=frame_wh, crops=crops, on_notice=on_notice
    )
    chosen = choose_crops(cards, (name, *beside), crops, where=url)
    card = cards[name]
    role = card.role if card else ""
    all_names = "+".join((name, *beside, *(choice.model for choice in chosen)))
    observer = metrics.observer(side=role or "optimised", variant=all_names) if metrics else None
    if role == "baseline" and not beside and not chosen:
        return BaselinePipeline(url, name, min_confidence=min_confidence, timeout_s=timeout_s, observer=observer)
    pipeline: Callable[..., Pipeline] = partial(OptimisedPipeline, url, name)
    if chosen:
        pipeline = partial(StagedPipeline, url, (name, *beside), chosen)
    elif beside:
        pipeline = partial(JointPipeline, url, (name, *beside))
    return pipeline(
        http_url=http_url,
        transport=transport,
        drop_late=drop_late,
        min_confidence=min_confidence,
        timeout_s=timeout_s,
        on_notice=on_notice,
        observer=observer,
    )


def choose_model(
    cards: Mapping[str, ModelCard | None],
    wanted: str | None,
    *,
    where: str,
    model: str | None = None,
    frame_wh: tuple[int, int] | None = None,
    flag: str = MODEL_FLAG,
    on_notice: Callable[[str], None] = ignore_notice,
) -> str:
    """A variant's name: the one wanted, by full name or suffix (`onnx_fp16`), else the best for detection here.

    model: of which model; without it of the one exported last. frame_wh: size of the pictures, which it must fit.
    flag: as `choose_network` has it.
    cards: None for what this client cannot use, which can be named all the same to be told why. where: the server or
    repository, for the ModelNotFoundError or ConfigError that lists what there is.
    """
    if not cards:
        raise ModelNotFoundError(f"{where} has no model; run `photofinish export` first", url=where)
    usable = {name: card for name, card in cards.items() if card is not None}
    if wanted is not None and not names_meant(usable, wanted):
        try:
            return chosen_by_name(cards, wanted, where=where)
        except ConfigError as exc:
            raise ModelNotFoundError(str(exc), model=wanted, url=where) from exc
    if not usable:
        return next(iter(cards))
    named = [wanted] if wanted else []
    names = choose_network(
        usable,
        where=where,
        model=model,
        named=named,
        task=None if wanted else "detect",
        flag=flag,
        on_notice=on_notice,
    )
    same = {name: usable[name] for name in names}
    return chosen_by_name(same, wanted, where=where) if wanted else candidates(same, frame_wh=frame_wh)[0]


def choose_models(
    cards: Mapping[str, ModelCard | None],
    wanted: str | None,
    with_models: Sequence[str],
    *,
    where: str,
    model: str | None = None,
    frame_wh: tuple[int, int] | None = None,
    crops: Sequence[CropChoice] = (),
    on_notice: Callable[[str], None] = ignore_notice,
) -> tuple[str, ...]:
    """What `choose_model` gives, then a variant for each of `with_models`, as `choose_beside` says.

    Where the first is left to choose, it is of another model than those that are named to look beside it, or at crops
    of its boxes.
    """
    rest = cards
    if (with_models or crops) and wanted is None and model is None:
        named = models_meant(cards, (*with_models, *(choice.model for choice in crops)), where=where)
        rest = {name: card for name, card in cards.items() if card is None or card.model not in named}
        if all(card is None for card in rest.values()):
            raise ConfigError(
                f"{where} has no model beside {', '.join(named)}; export another one with `photofinish export`, or "
                "leave out what was named to look at the same picture or its crops"
            )
    first = choose_model(rest, wanted, where=where, model=model, frame_wh=frame_wh, on_notice=on_notice)
    return first, *choose_beside(cards, first, with_models, where=where, frame_wh=frame_wh)
