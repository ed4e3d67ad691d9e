"""Keypoints against the truth (COCO's OKS-mAP, and how far they lie off) and against the baseline's keypoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from faster_coco_eval import COCO, COCOeval_faster

from photofinish.detections import (
    PARTNER_CONFIDENCE,
    SHOWN_CONFIDENCE,
    Detections,
    diagonals,
    match_detections,
)
from photofinish.errors import ConfigError
from photofinish.keypoints.layout import COCO_POSE, VISIBLE, KeypointLayout
from photofinish.perf.accuracy.figures import coco_document

COCO_SIGMAS = np.array(
    [0.26, 0.25, 0.25, 0.35, 0.35, 0.79, 0.79, 0.72, 0.72, 0.62, 0.62, 1.07, 1.07, 0.87, 0.87, 0.89, 0.89]
)
"""COCO's own, times ten; points without sigmas of their own have 1 / K, as in Ultralytics' validation."""
AREA_SHARE = 0.53
"""A person's area as a share of the box's, where no outline is labelled; Ultralytics' validation takes it too."""
MAX_POSES = 20
"""Poses per picture that count, as in COCO's evaluation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PointTruth:
    """Against labelled points. oks_*: 0..1. mean_error: of matching boxes' labelled points, share of the diagonal.

    points: how many were compared for mean_error, which is None of none.
    """

    oks_map50_95: float
    oks_map50: float
    mean_error: float | None
    points: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PointAgreement:
    """Against the baseline's visible points in matching boxes, as shares of the box's diagonal."""

    mean_error: float
    worst_error: float
    points: int


def expect_same_points(model: KeypointLayout | None, data: KeypointLayout | None, *, where: str, weights: str) -> None:
    """ConfigError where both have keypoints and not the same number of them."""
    if model and data and len(model) != len(data):
        raise ConfigError(
            f"{where} has {len(data)} keypoints an object and {weights} tells {len(model)}; pass the data set that "
            "these weights were trained for"
        )


def points_from_truth(
    found: Sequence[Detections], truth: Sequence[Detections], sizes_wh: Sequence[tuple[int, int]], names: Sequence[str]
) -> PointTruth | None:
    """OKS-mAP by faster-coco-eval, pictures in one order; None where ours has no keypoints or nobody labelled one."""
    layout = next((item.keypoints.layout for item in truth if item.keypoints), None)
    labelled = any(item.keypoints is not None and (item.keypoints.xyv[..., 2] > 0).any() for item in truth)
    if layout is None or not labelled or any(item.keypoints is None for item in found):
        return None
    reference = COCO(_coco_from_truth(truth, sizes_wh, names))
    is_coco = len(layout) == len(COCO_POSE)
    sigmas = COCO_SIGMAS / 10 if is_coco else np.full(len(layout), 1 / len(layout))
    evaluator = COCOeval_faster(
        reference,
        reference.loadRes(_results(found, len(layout))),
        "keypoints",
        print_function=lambda *text: None,
        kpt_oks_sigmas=sigmas.tolist(),
    )
    evaluator.params.maxDets = [MAX_POSES]
    evaluator.evaluate()
    evaluator.accumulate()
    precision = np.asarray(evaluator.eval["precision"])[:, :, :, 0, -1]
    judged = precision[:, :, precision.min(axis=(0, 1), initial=0) >= 0]
    errors = np.concatenate([_errors(ours, theirs, 0.5) for ours, theirs in zip(found, truth, strict=True)])
    return PointTruth(
        oks_map50_95=float(judged.mean()) if judged.size else 0.0,
        oks_map50=float(judged[0].mean()) if judged.size else 0.0,
        mean_error=float(errors.mean()) if errors.size else None,
        points=errors.size,
    )


def points_from_baseline(found: Sequence[Detections], baseline: Sequence[Detections]) -> PointAgreement | None:
    """How far the points of shown boxes agree, picture by picture; None where no point could be compared."""
    if any(item.keypoints is None for item in (*found, *baseline)):
        return None
    errors = np.concatenate(
        [
            _errors(ours.at_least(PARTNER_CONFIDENCE), theirs.at_least(SHOWN_CONFIDENCE), VISIBLE)
            for ours, theirs in zip(found, baseline, strict=True)
        ]
        or [np.empty(0)]
    )
    if not errors.size:
        return None
    return PointAgreement(mean_error=float(errors.mean()), worst_error=float(errors.max()), points=errors.size)


def _errors(found: Detections, wanted: Detections, min_visibility: float) -> npt.NDArray[np.float64]:
    """How far the wanted points lie from their partners', as shares of the wanted boxes' diagonals: (points,)."""
    matches = match_detections(wanted, found)
    pairs = matches >= 0
    if found.keypoints is None or wanted.keypoints is None or not pairs.any():
        return np.empty(0)
    ours, theirs = found.keypoints.xyv[matches[pairs]], wanted.keypoints.xyv[pairs]
    lengths = diagonals(wanted.boxes_xyxy[pairs])
    errors: npt.NDArray[np.float64] = np.linalg.norm(ours[..., :2] - theirs[..., :2], axis=2) / lengths[:, None]
    return errors[theirs[..., 2] >= min_visibility].astype(np.float64)


def _coco_from_truth(
    truth: Sequence[Detections], sizes_wh: Sequence[tuple[int, int]], names: Sequence[str]
) -> dict[str, Any]:
    annotations: list[dict[str, Any]] = []
    for index, objects in enumerate(truth):
        if objects.keypoints is None:
            continue
        rows = zip(
            objects.boxes_xyxy.tolist(), objects.class_id.tolist(), objects.keypoints.xyv.astype(float), strict=True
        )
        for (x1, y1, x2, y2), label, points in rows:
            labelled = points.copy()
            labelled[:, 2] = np.where(points[:, 2] > 0, 2, 0)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": index,
                    "category_id": label,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1) * AREA_SHARE,
                    "iscrowd": 0,
                    "keypoints": labelled.reshape(-1).tolist(),
                    "num_keypoints": int((labelled[:, 2] > 0).sum()),
                }
            )
    return coco_document(annotations, sizes_wh, names)


def _results(found: Sequence[Detections], count: int) -> list[dict[str, Any]]:
    rows = [
        {"image_id": index, "category_id": label, "keypoints": points.reshape(-1).tolist(), "score": score}
        for index, item in enumerate(found)
        if item.keypoints is not None
        for label, score, points in zip(
            item.class_id.tolist(), item.confidence.tolist(), item.keypoints.xyv.astype(float), strict=True
        )
    ]
    # The evaluator cannot load an empty list; points at the corner without confidence change no figure.
    nothing = [{"image_id": 0, "category_id": 0, "keypoints": [0.0] * (3 * count), "score": 0.0}]
    return rows or nothing
