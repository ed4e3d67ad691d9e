"""Which layers stay in higher precision: each one's error is measured, the worst are restored until it agrees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from photofinish.detections import Detections, detections_in_letterbox, iou_matrix

Array = npt.NDArray[np.float32]
MIN_WEIGHT = 0.05
"""Boxes below this confidence do not count in the disagreement."""
BLOCK_SIZE = 6
"""Layers that are first measured together: a hundred layers in some forty measurements instead of a hundred."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """The outcome of a search.

    restored: layers that stay in higher precision, worst first. disagreement_all: with every layer quantised;
    disagreement: with `restored` left out. target: what was to be reached. layer_errors: disagreement that each layer
    measured alone causes; empty when no search was needed.
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
    measure_alone: Callable[[frozenset[str]], float],
    *,
    target: float,
    max_share: float = 0.3,
    block_size: int = BLOCK_SIZE,
    on_step: Callable[[int, int], None],
) -> SearchResult:
    """Few of the worst layers whose restoration brings the disagreement to `target`.

    measure: disagreement with the given layers quantised; measure_alone: the same on fewer frames, for single layers
    and blocks. Neighbouring layers are measured as blocks; the blocks are opened worst first, and the layers of all
    open blocks put in the order of their own error, until restoring them reaches the target. The shortest prefix of
    that order that reaches it is found by bisection. At most `max_share` of the layers are restored; when that is not
    enough, that many are. on_step hears of measurements done and the most there can be.
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
    most = max(1, int(len(layers) * max_share))
    blocks = [tuple(layers[start : start + block_size]) for start in range(0, len(layers), block_size)]
    steps = len(blocks) + len(layers)
    block_errors = {}
    for block in blocks:
        block_errors[block] = measure_alone(frozenset(block))
        on_step(len(block_errors), steps)
    errors: dict[str, float] = {}
    order: list[str] = []
    found: dict[int, float] = {}
    high = 0
    for block in sorted(blocks, key=lambda block: -block_errors[block]):
        for layer in block:
            errors[layer] = measure_alone(frozenset((layer,))) if len(block) > 1 else block_errors[block]
            on_step(len(blocks) + len(errors), steps)
        order = sorted(errors, key=lambda layer: -errors[layer])
        high = min(len(order), most)
        found = {high: measure(everything - set(order[:high]))}
        if found[high] <= target:
            break
    low = 0
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
    kept = detections_in_letterbox(rows).at_least(MIN_WEIGHT)
    return replace(kept, confidence=np.clip(kept.confidence, 0, 1))


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
