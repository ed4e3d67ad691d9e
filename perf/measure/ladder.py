"""The ladder: from the baseline to everything switched on, one change per rung."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
from photofinish.perf.record.record import NotRun
from photofinish.perf.report.words import CHANGE_NOUNS

IN_FLIGHT = 2
BATCH_SIZE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One step. wants: which model it runs; None takes the model of the rung before. needs: said when there is none.

    only_cuda: the rung exists for a model on a GPU alone. reshapes: it runs the model of the rung before with a
    rectangular input; every other rung runs square ones.
    """

    key: str
    label: str
    wants: Callable[[ModelCard], bool] | None
    needs: str = ""
    pipeline: ClientKind = "optimised"
    transport: TransportChoice = "auto"
    in_flight: int = 1
    batch_size: int = 1
    only_cuda: bool = False
    reshapes: bool = False


RUNGS: tuple[Rung, ...] = (
    Rung(
        key="baseline",
        label="textbook",
        wants=lambda card: card.role == "baseline",
        needs="a baseline variant",
        pipeline="baseline",
    ),
    Rung(
        key="contract",
        label="frames contract",
        wants=lambda card: card.contract == "frames" and (card.backend, card.precision) == ("pytorch", "fp32"),
        needs="a pytorch FP32 variant in the frames contract",
        pipeline="baseline",
    ),
    Rung(key="client", label="reused requests", wants=None, transport=GRPC),
    Rung(key="transport", label="shared memory", wants=None, transport=SYSTEM_SHM),
    Rung(key="http", label="requests over HTTP", wants=None),
    Rung(
        key="engine",
        label="ONNX Runtime",
        wants=lambda card: card.contract == "frames" and (card.backend, card.precision) == ("onnxruntime", "fp32"),
        needs="an onnxruntime FP32 variant",
    ),
    Rung(
        key="openvino",
        label="OpenVINO",
        wants=lambda card: (card.backend, card.precision) == ("openvino", "fp32"),
        needs="an openvino FP32 variant",
    ),
    Rung(
        key="precision",
        label="FP16",
        wants=lambda card: (
            (card.backend, card.precision, card.accelerator) == ("onnxruntime", "fp16", "none")
            and not (card.cuda_graphs and card.device == "cuda")
        ),
        needs="an onnxruntime FP16 variant without CUDA graphs",
    ),
    Rung(
        key="cuda_graphs",
        label="CUDA graphs",
        wants=lambda card: (
            (card.backend, card.precision, card.accelerator) == ("onnxruntime", "fp16", "none")
            and card.cuda_graphs
            and card.device == "cuda"
        ),
        needs="an onnxruntime FP16 variant with CUDA graphs, on a GPU",
    ),
    Rung(
        key="aoti",
        label="AOTInductor FP16",
        wants=lambda card: card.backend == "pytorch" and card.precision == "fp16",
        needs="a compiled pytorch FP16 variant",
    ),
    Rung(
        key="tensorrt",
        label="TensorRT FP16",
        wants=lambda card: card.backend == "tensorrt" and card.precision == "fp16",
        needs="a tensorrt FP16 variant",
    ),
    Rung(
        key="int8",
        label="INT8",
        wants=lambda card: card.precision == "int8",
        needs="an INT8 variant",
    ),
    Rung(
        key="rect",
        label="no padding",
        wants=lambda card: not card.is_square,
        needs="a variant with a rectangular input beside the square one of the rung before",
        reshapes=True,
    ),
    Rung(key="pipelining", label=f"{IN_FLIGHT} in flight", wants=None, in_flight=IN_FLIGHT),
    Rung(
        key="batching",
        label=f"batches of {BATCH_SIZE}",
        wants=None,
        transport=SYSTEM_SHM_HTTP,
        in_flight=IN_FLIGHT,
        batch_size=BATCH_SIZE,
    ),
    Rung(
        key="cuda_shm",
        label="CUDA shared memory",
        wants=None,
        transport=CUDA_SHM_HTTP,
        in_flight=IN_FLIGHT,
        batch_size=BATCH_SIZE,
        only_cuda=True,
    ),
)
"""In this order. What a rung really changed is said from the two set-ups, not from its name."""
_LAST_ENGINE = next(position for position, rung in enumerate(RUNGS) if rung.key == "int8")
_FIRST_ENGINE = next(position for position, rung in enumerate(RUNGS) if rung.key == "engine")


def ladder_setups(
    models: Sequence[ServedModel], best: ServedModel | None = None
) -> tuple[tuple[Setup, ...], tuple[NotRun, ...]]:
    """The rungs that these models allow, and those they do not, with the reason.

    best: the model that was fastest here. Its rung is the last of those that change the engine, so that what comes
    after builds on it and not on a variant that is slower on this machine; where its input is rectangular, that is a
    rung of its own after its square sibling's. Another model that would change engine and precision at once is left
    out: nobody could say which of the two bought what.
    """
    fastest = best
    if best is not None and not best.require_card().is_square:
        best = next((model for model in models if _is_square_sibling(model, best)), None)
    setups: list[Setup] = []
    not_run: list[NotRun] = []
    for rung in _rungs_with_best_last(models, best):
        model = _model_for(rung, models, setups, fastest if rung.reshapes else best)
        if model is None:
            reason = f"needs {rung.needs}" if rung.needs else "needs a rung before it"
            not_run.append(NotRun(label=rung.label, reason=f"{reason}; none is served here"))
        elif rung.only_cuda and model.require_card().device != "cuda":
            not_run.append(NotRun(label=rung.label, reason=f"{model.name} does not run on a GPU"))
        elif setups and model not in (best, fastest) and _changes_engine_and_precision(setups[-1].model, model):
            reason = f"{model.name} would change engine and precision at once"
            not_run.append(NotRun(label=rung.label, reason=reason))
        elif rung.batch_size > model.max_batch_size:
            reason = f"{model.name} takes batches of {model.max_batch_size} at most"
            not_run.append(NotRun(label=rung.label, reason=reason))
        else:
            setup = Setup(
                key=rung.key,
                label=rung.label,
                model=model,
                pipeline=rung.pipeline,
                transport=rung.transport if rung.pipeline == "optimised" else GRPC,
                in_flight=rung.in_flight,
                batch_size=rung.batch_size,
            )
            setups.append(_with_change(setup, setups[-1] if setups else None))
    return tuple(setups), tuple(not_run)


def _rungs_with_best_last(models: Sequence[ServedModel], best: ServedModel | None) -> tuple[Rung, ...]:
    last = _LAST_ENGINE
    for position, rung in enumerate(RUNGS[: last + 1]):
        if best is not None and position > _FIRST_ENGINE and rung.wants and rung.wants(best.require_card()):
            return (*RUNGS[:position], *RUNGS[position + 1 : last + 1], rung, *RUNGS[last + 1 :])
    return RUNGS


def changes_between(before: Setup, after: Setup) -> tuple[str, ...]:
    """What differs between two rungs, in words."""
    old, new = before.model.require_card(), after.model.require_card()
    pairs = (
        (old.contract, new.contract),
        (old.backend, new.backend),
        (old.precision, new.precision),
        (_input(old), _input(new)),
        (_graphs(old), _graphs(new)),
        (before.pipeline, after.pipeline),
        (_transport(before), _transport(after)),
        (str(before.in_flight), str(after.in_flight)),
        (str(before.batch_size), str(after.batch_size)),
    )
    named = zip(CHANGE_NOUNS, pairs, strict=True)
    return tuple(f"{noun} {was} → {now}" for noun, (was, now) in named if was != now)


def _transport(setup: Setup) -> str:
    """What "auto" comes to where the server accepts it."""
    if setup.transport != "auto":
        return str(setup.transport)
    return str(automatic_order(setup.model.require_card().device, setup.batch_size)[0])


def _input(card: ModelCard) -> str:
    return "{} × {}".format(*card.input_wh)


def _graphs(card: ModelCard) -> str:
    return "on" if card.cuda_graphs and card.device == "cuda" else "off"


def _model_for(
    rung: Rung, models: Sequence[ServedModel], setups: Sequence[Setup], best: ServedModel | None
) -> ServedModel | None:
    """The fastest model where it is of the rung's kind, else one that keeps the engine or the precision, else any."""
    if rung.wants is None:
        return setups[-1].model if setups else None
    wanted = [
        model
        for model in models
        if rung.wants(model.require_card())
        and (rung.reshapes or model.require_card().is_square)
        and (not rung.reshapes or model is best or (setups and _is_square_sibling(setups[-1].model, model)))
    ]
    if best in wanted or not setups:
        return best if best in wanted else next(iter(wanted), None)
    before = setups[-1].model
    return min(wanted, key=lambda model: _changes_engine_and_precision(before, model), default=None)


def _is_square_sibling(model: ServedModel, rectangular: ServedModel) -> bool:
    """Whether they differ in the shape of their input alone."""
    one, other = model.require_card(), rectangular.require_card()
    same = (one.backend, one.precision, one.contract, one.accelerator, one.weights_sha256)
    return (
        one.is_square
        and not other.is_square
        and same == (other.backend, other.precision, other.contract, other.accelerator, other.weights_sha256)
    )


def _changes_engine_and_precision(before: ServedModel, after: ServedModel) -> bool:
    old, new = before.require_card(), after.require_card()
    return old.backend != new.backend and old.precision != new.precision


def _with_change(setup: Setup, before: Setup | None) -> Setup:
    if before is None:
        return setup
    return Setup(
        key=setup.key,
        label=setup.label,
        model=setup.model,
        pipeline=setup.pipeline,
        transport=setup.transport,
        in_flight=setup.in_flight,
        batch_size=setup.batch_size,
        change=", ".join(changes_between(before, setup)),
    )
