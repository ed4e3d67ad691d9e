"""The ladder: from the baseline to everything switched on, one change per rung."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from photofinish.client.triton.served import ServedModel
from photofinish.client.triton.transport import (
    CUDA_SHM_HTTP,
    GRPC,
    SYSTEM_SHM,
    SYSTEM_SHM_HTTP,
    TransportChoice,
    automatic_order,
)
from photofinish.model_card import ModelCard
from photofinish.perf.measure.setups import ClientKind, Setup
from photofinish.perf.record.changes import NOUNS, Change, NotRun, Noun

IN_FLIGHT = 2
BATCH_SIZE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One step. wants: which model it runs; None takes the model of the rung before.

    only_cuda: the rung exists for a model on a GPU alone. reshapes: it runs the model of the rung before with a
    rectangular input; every other rung runs square ones. prunes: it runs that model with pruned weights; every other
    rung runs the baseline's weights, but for those that keep the model of the rung before.
    """

    key: str
    wants: Callable[[ModelCard], bool] | None
    pipeline: ClientKind = "optimised"
    transport: TransportChoice = "auto"
    in_flight: int = 1
    batch_size: int = 1
    only_cuda: bool = False
    reshapes: bool = False
    prunes: bool = False


RUNGS: tuple[Rung, ...] = (
    Rung(
        key="baseline",
        wants=lambda card: card.role == "baseline",
        pipeline="baseline",
    ),
    Rung(
        key="contract",
        wants=lambda card: card.contract == "frames" and (card.backend, card.precision) == ("pytorch", "fp32"),
        pipeline="baseline",
    ),
    Rung(key="client", wants=None, transport=GRPC),
    Rung(key="transport", wants=None, transport=SYSTEM_SHM),
    Rung(key="http", wants=None),
    Rung(
        key="engine",
        wants=lambda card: card.contract == "frames" and (card.backend, card.precision) == ("onnxruntime", "fp32"),
    ),
    Rung(
        key="openvino",
        wants=lambda card: (card.backend, card.precision) == ("openvino", "fp32"),
    ),
    Rung(
        key="precision",
        wants=lambda card: (
            (card.backend, card.precision, card.accelerator) == ("onnxruntime", "fp16", "none")
            and not (card.cuda_graphs and card.device == "cuda")
        ),
    ),
    Rung(
        key="cuda_graphs",
        wants=lambda card: (
            (card.backend, card.precision, card.accelerator) == ("onnxruntime", "fp16", "none")
            and card.cuda_graphs
            and card.device == "cuda"
        ),
    ),
    Rung(
        key="aoti",
        wants=lambda card: card.backend == "pytorch" and card.precision == "fp16",
    ),
    Rung(
        key="tensorrt",
        wants=lambda card: card.backend == "tensorrt" and card.precision == "fp16",
    ),
    Rung(
        key="int8",
        wants=lambda card: card.precision == "int8",
    ),
    Rung(
        key="bf16",
        wants=lambda card: (card.backend, card.precision) == ("openvino", "bf16"),
    ),
    Rung(
        key="rect",
        wants=lambda card: not card.is_square,
        reshapes=True,
    ),
    Rung(
        key="pruned",
        wants=lambda card: bool(card.unpruned_sha256),
        prunes=True,
    ),
    Rung(key="pipelining", wants=None, in_flight=IN_FLIGHT),
    Rung(
        key="batching",
        wants=None,
        transport=SYSTEM_SHM_HTTP,
        in_flight=IN_FLIGHT,
        batch_size=BATCH_SIZE,
    ),
    Rung(
        key="cuda_shm",
        wants=None,
        transport=CUDA_SHM_HTTP,
        in_flight=IN_FLIGHT,
        batch_size=BATCH_SIZE,
        only_cuda=True,
    ),
)
"""In this order. What a rung really changed is taken from the two set-ups, not from its name."""
_LAST_ENGINE = next(position for position, rung in enumerate(RUNGS) if rung.key == "bf16")
_FIRST_ENGINE = next(position for position, rung in enumerate(RUNGS) if rung.key == "engine")


def ladder_setups(
    models: Sequence[ServedModel], best: ServedModel | None = None
) -> tuple[tuple[Setup, ...], tuple[NotRun, ...]]:
    """The rungs that these models allow, and those they do not, with the reason.

    best: the model that was fastest here. Its rung is the last of those that change the engine, so that what comes
    after builds on it and not on a variant that is slower on this machine; where its input is rectangular, that is a
    rung of its own after its square sibling's; where its weights are pruned, after its unpruned sibling's.
    Another model that would change two of engine, precision and CUDA graphs at once is left out: nobody could say
    which of the two bought what.
    """
    if best is not None and models and _is_pruned(best, models[0]):
        best = next((model for model in models if _is_unpruned_sibling(model, best)), None)
    fastest = best
    if best is not None and not best.require_card().is_square:
        best = next((model for model in models if _is_square_sibling(model, best)), None)
    setups: list[Setup] = []
    not_run: list[NotRun] = []
    for rung in _rungs_with_best_last(models, best):
        model = _model_for(rung, models, setups, fastest if rung.reshapes else best)
        if model is None:
            needed = NotRun(key="needs", values={"what": rung.key}) if rung.wants else NotRun(key="before")
            not_run.append(_left_out(rung, needed))
        elif rung.only_cuda and model.require_card().device != "cuda":
            not_run.append(_left_out(rung, NotRun(key="no_gpu", values={"model": model.name})))
        elif setups and model not in (best, fastest) and len(nouns := _changed_by(setups[-1].model, model)) > 1:
            not_run.append(_left_out(rung, NotRun(key="several", values={"model": model.name, "nouns": nouns})))
        elif rung.batch_size > model.max_batch_size:
            values = {"model": model.name, "size": model.max_batch_size}
            not_run.append(_left_out(rung, NotRun(key="batch", values=values)))
        else:
            setup = Setup(
                key=rung.key,
                rung=rung.key,
                model=model,
                pipeline=rung.pipeline,
                transport=rung.transport if rung.pipeline == "optimised" else GRPC,
                in_flight=rung.in_flight,
                batch_size=rung.batch_size,
            )
            setups.append(setup)
    return tuple(setups), tuple(not_run)


def _rungs_with_best_last(models: Sequence[ServedModel], best: ServedModel | None) -> tuple[Rung, ...]:
    last = _LAST_ENGINE
    for position, rung in enumerate(RUNGS[: last + 1]):
        if best is not None and position > _FIRST_ENGINE and rung.wants and rung.wants(best.require_card()):
            return (*RUNGS[:position], *RUNGS[position + 1 : last + 1], rung, *RUNGS[last + 1 :])
    return RUNGS


def _left_out(rung: Rung, reason: NotRun) -> NotRun:
    return replace(reason, rung=rung.key, batch_size=rung.batch_size, concurrency=rung.in_flight)


def changes_between(before: Setup, after: Setup) -> tuple[Change, ...]:
    """What differs between two rungs."""
    old, new = before.model.require_card(), after.model.require_card()
    pairs = (
        ("triton", "triton"),
        (old.contract, new.contract),
        (old.backend, new.backend),
        (old.precision, new.precision),
        (_input(old), _input(new)),
        (_graphs(old), _graphs(new)),
        (before.pipeline, after.pipeline),
        (_transport(before), _transport(after)),
        (str(before.in_flight), str(after.in_flight)),
        (str(before.batch_size), str(after.batch_size)),
        (_weights(old), _weights(new)),
    )
    named = zip(NOUNS, pairs, strict=True)
    return tuple(Change(noun=noun, was=was, now=now) for noun, (was, now) in named if was != now)


def _transport(setup: Setup) -> str:
    """What "auto" comes to where the server accepts it."""
    if setup.transport != "auto":
        return str(setup.transport)
    return str(automatic_order(setup.model.require_card().device, setup.batch_size)[0])


def _input(card: ModelCard) -> str:
    return "{} × {}".format(*card.input_wh)


def _weights(card: ModelCard) -> str:
    """The model's name where its weights were pruned; as they were given they go by one name."""
    return card.model if card.unpruned_sha256 else "given"


def _graphs(card: ModelCard) -> str:
    return "on" if card.cuda_graphs and card.device == "cuda" else "off"


def _model_for(
    rung: Rung, models: Sequence[ServedModel], setups: Sequence[Setup], best: ServedModel | None
) -> ServedModel | None:
    """The fastest model where it is of the rung's kind, else one that keeps the engine or the precision, else any."""
    if rung.wants is None:
        return setups[-1].model if setups else None
    if rung.prunes:
        return next((model for model in models if setups and _is_unpruned_sibling(setups[-1].model, model)), None)
    wanted = [
        model
        for model in models
        if rung.wants(model.require_card())
        and not _is_pruned(model, models[0])
        and (rung.reshapes or model.require_card().is_square)
        and (not rung.reshapes or model is best or (setups and _is_square_sibling(setups[-1].model, model)))
    ]
    if best in wanted or not setups:
        return best if best in wanted else next(iter(wanted), None)
    before = setups[-1].model
    return min(wanted, key=lambda model: len(_changed_by(before, model)), default=None)


def _is_pruned(model: ServedModel, first: ServedModel) -> bool:
    """Whether its weights were pruned from those of the ladder's first model."""
    sha256 = model.require_card().unpruned_sha256
    return bool(sha256) and sha256 == first.require_card().weights_sha256


def _is_unpruned_sibling(model: ServedModel, pruned: ServedModel) -> bool:
    """Whether the second differs from the first in being pruned from its weights alone."""
    one, other = model.require_card(), pruned.require_card()
    facts = ("backend", "precision", "contract", "accelerator", "cuda_graphs", "input_wh")
    return _is_pruned(pruned, model) and all(getattr(one, fact) == getattr(other, fact) for fact in facts)


def _is_square_sibling(model: ServedModel, rectangular: ServedModel) -> bool:
    """Whether they differ in the shape of their input alone."""
    one, other = model.require_card(), rectangular.require_card()
    facts = ("backend", "precision", "contract", "accelerator", "cuda_graphs", "weights_sha256")
    same = all(getattr(one, fact) == getattr(other, fact) for fact in facts)
    return one.is_square and not other.is_square and same


def _changed_by(before: ServedModel, after: ServedModel) -> list[Noun]:
    """Which of engine, precision and CUDA graphs differ: a rung that changes two could not say which bought what."""
    old, new = before.require_card(), after.require_card()
    pairs: tuple[tuple[Noun, str, str], ...] = (
        ("engine", old.backend, new.backend),
        ("precision", old.precision, new.precision),
        ("cuda_graphs", _graphs(old), _graphs(new)),
    )
    return [noun for noun, was, now in pairs if was != now]
