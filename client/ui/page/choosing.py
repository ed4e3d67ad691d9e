"""Which variants the view starts with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from photofinish.client.sources.opening import open_source
from photofinish.client.triton.served import TritonClient
from photofinish.client.ui.page.split_view import Choice
from photofinish.client.ui.processes.source import Pace
from photofinish.client.ui.processes.turns import TurnMode
from photofinish.errors import ConfigError, SourceError
from photofinish.letterbox import is_smaller_than_in_square
from photofinish.model_card import ModelCard
from photofinish.names import chosen_by_name

PREFERENCE: Mapping[str, Sequence[tuple[str, str]]] = {
    "cuda": (
        ("tensorrt", "fp16"),
        ("tensorrt", "fp8"),
        ("tensorrt", "int8"),
        ("onnxruntime", "fp16"),
        ("onnxruntime", "fp32"),
        ("pytorch", "fp16"),
        ("pytorch", "fp32"),
    ),
    "cpu": (
        ("openvino", "bf16"),
        ("openvino", "int8"),
        ("onnxruntime", "fp32"),
        ("openvino", "fp32"),
        ("onnxruntime", "int8"),
        ("pytorch", "fp32"),
        ("onnxruntime", "fp16"),
    ),
}
"""Backend and precision, fastest first as measured, per device."""


def rank(backend: str, precision: str, device: str) -> int:
    """The place in PREFERENCE; smaller is better, unknown pairs come last."""
    order = PREFERENCE["cuda" if device == "cuda" else "cpu"]
    return order.index((backend, precision)) if (backend, precision) in order else len(order)


def served_cards(url: str, *, timeout_s: float = 5.0) -> dict[str, ModelCard]:
    """Name and card of every model of the server that a pipeline can use."""
    with TritonClient(url, timeout_s=timeout_s) as client:
        return {model.name: model.card for model in client.models() if model.card is not None}


def baselines(cards: Mapping[str, ModelCard]) -> list[str]:
    """Models for the baseline side: those with that role, else all."""
    return [name for name, card in cards.items() if card.role == "baseline"] or list(cards)


def candidates(cards: Mapping[str, ModelCard], *, frame_wh: tuple[int, int] | None = None) -> list[str]:
    """Models for the optimised side, best first: those with that role, else all.

    frame_wh: size of the camera's pictures; a model whose input has another shape comes last, as where it is unknown.
    """
    names = [name for name, card in cards.items() if card.role != "baseline"] or list(cards)
    return sorted(names, key=lambda name: _place(cards[name], frame_wh))


def fits(input_wh: tuple[int, int], frame_wh: tuple[int, int] | None) -> bool:
    """Whether the input shows pictures of `frame_wh` as large as a square would."""
    if input_wh[0] == input_wh[1]:
        return True
    return frame_wh is not None and not is_smaller_than_in_square(frame_wh, input_wh)


def frame_size(source: str) -> tuple[int, int] | None:
    """Width and height of the source's pictures; None where it cannot be opened or gives none."""
    try:
        with open_source(source) as opened:
            return opened.size_wh or next((frame.size_wh for frame in opened.frames()), None)
    except SourceError:
        return None


def _place(card: ModelCard, frame_wh: tuple[int, int] | None) -> tuple[bool, bool, int, bool]:
    preferred = rank(card.backend, card.precision, card.device)
    return card.contract != "frames", not fits(card.input_wh, frame_wh), preferred, card.is_square


def choice_from_server(
    url: str,
    *,
    source: str,
    baseline: str | None = None,
    optimised: str | None = None,
    pace: Pace = "free",
    turns: TurnMode = "auto",
) -> Choice:
    """What to run on the server at `url`; names left out are chosen, and the two sides run the same model.

    A name may be the variant's suffix, such as onnx_fp16. Raises ConfigError when no served model fits.
    """
    cards = served_cards(url)
    if not cards:
        raise ConfigError(f"{url} serves no detector; export a repository first: `photofinish export`")
    left = chosen_by_name(cards, baseline, where=url) if baseline else baselines(cards)[0]
    same = {name: card for name, card in cards.items() if card.weights_sha256 == cards[left].weights_sha256}
    if optimised:
        right = chosen_by_name(cards, optimised, where=url)
    else:
        is_simple = all(card.is_square for card in same.values())
        right = candidates(same, frame_wh=None if is_simple else frame_size(source))[0]
    return Choice(source=source, baseline=left, optimised=right, pace=pace, turns=turns)
