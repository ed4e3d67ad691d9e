"""Which layers stay in higher precision: each one's error is measured, the worst are restored until it agrees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from photofinish.detections import Detections, iou_matrix

Array = npt.NDArray[np.float32]
MIN_WEIGHT = 0.05
"""Boxes below this confidence do not count in the disagreement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """The outcome of a search.

    restored: layers that stay in higher precision, worst first. disagreement_all: with every layer quantised;
    disagreement: with `restored` left out. target: what was to be reached. layer_errors: disagreement that each layer
    causes alone; empty when no search was needed.
    """

    restored: tuple[str, ...]
    disagreement_all: float
    disagreement: float
    target: float
    layer_errors: dict[str, float]

    @property
    def reached(self) -> bool:
        """Whether the target was reached."""
        return self.disagreement <= self.target


def search_layers(
    layers: Sequence[str],
    measure: Callable[[frozenset[str]], float],
    measure_layer: Callable[[str], float],
    *,
    target: float,
    max_share: float = 0.3,
    on_layer: Callable[[int, int], None],
) -> SearchResult:
    """The fewest of the worst layers whose restoration brings the disagreement to `target`.

    measure: disagreement with the given layers quantised; measure_layer: with one layer quantised alone. The layers
    are ordered by their own error, and the shortest prefix of that order that reaches the target is found by
    bisection. At most `max_share` of the layers are restored; when that is not enough, that many are.
    """
    everything = frozenset(layers)
    disagreement_all = measure(everything)
    if disagreement_all <= target:
        return SearchResult(
            restored=(),
            disagreement_all=disagreement_all,
            disagreement=disagreement_all,
            target=target,
            layer_errors={},
        )
    errors = {}
    for index, layer in enumerate(layers):
        errors[layer] = measure_layer(layer)
        on_layer(index + 1, len(layers))
    order = sorted(layers, key=lambda layer: -errors[layer])
    low, high = 0, max(1, int(len(layers) * max_share))
    found = {high: measure(everything - set(order[:high]))}
    if found[high] <= target:
        while high - low > 1:
            middle = (low + high) // 2
            found[middle] = measure(everything - set(order[:middle]))
            low, high = (low, middle) if found[middle] <= target else (middle, high)
    return SearchResult(
        restored=tuple(order[:high]),
        disagreement_all=disagreement_all,
        disagreement=found[high],
        target=target,
        layer_errors=errors,
    )


def disagreement_from_outputs(found: Array, reference: Array) -> float:
    """How far outputs lie from the reference: 0 the same, 1 nothing in common.

    (n, 300, 6) rows: the confidence-weighted share of boxes that lack a partner of the same class, overlap and
    confidence. (n, classes) scores: the mean total variation. NaN counts as complete disagreement.
    """
    if found.shape != reference.shape:
        raise ValueError(f"outputs must have one shape, got {found.shape} and {reference.shape}")
    if not np.isfinite(found).all():
        return 1.0
    if reference.ndim == 2:
        return float(np.abs(found - reference).sum(axis=1).mean() / 2)
    wrong, weight = 0.0, 0.0
    for found_rows, reference_rows in zip(found, reference, strict=True):
        picture_wrong, picture_weight = _picture_disagreement(_strong(found_rows), _strong(reference_rows))
        wrong += picture_wrong
        weight += picture_weight
    return wrong / weight if weight else 0.0


def has_detections(reference: Array) -> bool:
    """Whether the reference holds anything to agree with: any box that counts, or any scores."""
    return reference.ndim == 2 or bool((reference[..., 4] >= MIN_WEIGHT).any())


def _strong(rows: Array) -> Detections:
    kept = rows[rows[:, 4] >= MIN_WEIGHT]
    return Detections(
        boxes_xyxy=kept[:, :4], confidence=np.clip(kept[:, 4], 0, 1), class_id=np.rint(kept[:, 5]).astype(np.int32)
    )


def _picture_disagreement(found: Detections, reference: Detections) -> tuple[float, float]:
    """Disagreement and total weight of one picture. Each pair's agreement is IoU times (1 - confidence difference)."""
    agreement = iou_matrix(found.boxes_xyxy, reference.boxes_xyxy).astype(np.float64)
    agreement *= 1 - np.abs(found.confidence[:, None] - reference.confidence[None, :])
    agreement[found.class_id[:, None] != reference.class_id[None, :]] = 0
    weight = float(reference.confidence.sum(dtype=np.float64))
    wrong = weight
    for index in np.argsort(-found.confidence, kind="stable"):
        best = int(agreement[index].argmax()) if len(reference) else -1
        if best >= 0 and agreement[index, best] > 0.25:
            wrong -= float(reference.confidence[best]) * float(agreement[index, best])
            agreement[:, best] = 0
        else:
            wrong += float(found.confidence[index])
            weight += float(found.confidence[index])
    return wrong, weight
