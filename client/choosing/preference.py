"""Which variant of a model is taken where none was named: the fastest as measured that fits the pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from photofinish.letterbox import is_smaller_than_in_square
from photofinish.model_card import ModelCard

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


def _place(card: ModelCard, frame_wh: tuple[int, int] | None) -> tuple[bool, bool, int, bool]:
    preferred = rank(card.backend, card.precision, card.device)
    return card.contract != "frames", not fits(card.input_wh, frame_wh), preferred, card.is_square
