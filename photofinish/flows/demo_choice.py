"""Which variants `photofinish demo` shows when the user names none."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from photofinish.errors import ConfigError
from photofinish.flows import tell
from photofinish.machine.processor import BF16_FLAGS, processor_flags
from photofinish.names import chosen_by_name
from photofinish.variant import SQUARE, Variant, input_wh_from_aspect

_LIBRARIES = {"pytorch": "torch", "onnxruntime": "onnxruntime", "openvino": "openvino", "tensorrt": "tensorrt"}
COMMON_INPUT_SIZE, COMMON_STRIDE = 640, 32
"""Of detectors; which aspect fits a camera depends on them very little."""


def default_baseline(known: tuple[Variant, ...], kind: str) -> Variant:
    """The baseline for this kind of weights."""
    return next(v for v in known if v.role == "baseline" and source_kind(kind) in v.sources)


def is_calibrated(weights: str, kind: str) -> bool:
    """Whether INT8 needs nothing of the user: the synthetic camera shows the scenes that the demo detector knows."""
    from photofinish.export.loading.weights import DEMO

    return weights == DEMO and kind == "pt"


def default_candidates(
    known: tuple[Variant, ...],
    kind: str,
    device: str,
    *,
    is_calibrated: bool = False,
    frame_wh: tuple[int, int] | None = None,
) -> tuple[Variant, ...]:
    """Optimised variants that this machine can make, best first.

    INT8 is among them on a CPU for weights that are calibrated without the user; otherwise it must be named, as FP8.
    """
    from photofinish.client.choosing.preference import fits, rank
    from photofinish.export.loading.weights import RESHAPED

    left_out = {"fp8"} if is_calibrated and device == "cpu" else {"int8", "fp8"}
    if not BF16_FLAGS & processor_flags():
        left_out.add("bf16")
    fitting = [
        variant
        for variant in known
        if variant.role == "optimised"
        and variant.precision not in left_out
        and device in variant.devices
        and "embedded" in variant.servers
        and source_kind(kind) in variant.sources
        and find_spec(_LIBRARIES[variant.backend])
        and fits(input_wh_from_aspect(COMMON_INPUT_SIZE, variant.aspect, stride=COMMON_STRIDE), frame_wh)
        and (variant.aspect == SQUARE or kind in RESHAPED)
    ]
    return tuple(sorted(fitting, key=lambda item: (rank(item.backend, item.precision, device), item.aspect == SQUARE)))


def pair_in_repository(
    repository: Path, model: str, *, baseline: str | None, optimised: str | None, frame_wh: tuple[int, int] | None
) -> tuple[str, str]:
    """The two sides of a model that is published already: its baseline and the best variant for these pictures.

    baseline, optimised: named ones, which must be of that model. Raises ConfigError where one of the two is missing.
    """
    from photofinish.client.choosing.networks import choose_network
    from photofinish.client.choosing.preference import baselines, candidates
    from photofinish.flows.bench import cards_in

    cards, _ = cards_in(repository, model)
    named = [name for name in (baseline, optimised) if name]
    names = choose_network(cards, where=str(repository), model=model, named=named, task="detect", on_notice=tell)
    same = {name: cards[name] for name in names}
    left = chosen_by_name(same, baseline, where=str(repository)) if baseline else baselines(same)[0]
    others = {name: card for name, card in same.items() if name != left}
    if not others:
        raise ConfigError(f"{model} has {left} alone in {repository}; export another variant of it to compare with")
    right = chosen_by_name(same, optimised, where=str(repository)) if optimised else ""
    return left, right or candidates(others, frame_wh=frame_wh)[0]


def source_kind(kind: str) -> str:
    """`onnx` for a user's ONNX file, `torch` for every other kind of weights, as variants.toml says it."""
    return "onnx" if kind == "onnx" else "torch"
