"""Accuracy of served variants, through the server, on the same frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from photofinish.client.pipeline.opening import BaselinePipeline, OptimisedPipeline
from photofinish.detections import Detections
from photofinish.errors import ConfigError
from photofinish.frame import Frame
from photofinish.model_card import ModelCard
from photofinish.percentiles import nearest_rank
from photofinish.perf.accuracy.data import Dataset, in_dataset_classes, map_classes
from photofinish.perf.accuracy.figures import AgreementFigures, TruthFigures, figures_from_baseline, figures_from_truth
from photofinish.perf.accuracy.keypoints import (
    PointAgreement,
    PointTruth,
    expect_same_points,
    points_from_baseline,
    points_from_truth,
)

NEAR_ZERO = 0.01
"""mAP50-95 of a baseline below which a share of it says nothing: its layout or its names are wrong."""
MIN_CONFIDENCE = 0.001
"""As Ultralytics' validation: mAP needs the weak boxes too."""
REQUEST_TIMEOUT_S = 60.0
"""Long: this is no latency measurement, and other programs may hold the machine."""

OnFrame = Callable[[str, int, int], None]
"""Called after each frame with the model's name, frames done, frames in all."""


def ignore_frame(name: str, done: int, total: int) -> None:
    """No progress is shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What one model found in each frame, and the median time of its requests."""

    detections: Sequence[Detections]
    request_p50_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracyResult:
    """One variant on one data set. map figures are None without labels; map_share is of the baseline's mAP50-95.

    worst_class: the class that lost most against the baseline (mAP50-95, or boxes without a partner), "" for none.
    oks figures and truth_point_error are of labelled keypoints, the other point errors against the baseline; None where
    no points were compared, never 0. Point errors are shares of the box's diagonal.
    request_p50_ms: median from sending to the answer, one request at a time, on these frames: a hint at what the
    variant costs on this machine. `photofinish perf` measures speed.
    """

    variant: str
    kind: str
    dataset: str
    dataset_sha256: str
    frames: int
    map50_95: float | None
    map50: float | None
    map_share: float | None
    boxes: int
    found_boxes: int
    matched_share: float | None
    mean_box_error_px: float
    worst_box_error_px: float
    mean_confidence_error: float
    worst_confidence_error: float
    worst_class: str
    worst_class_loss: float
    request_p50_ms: float
    class_map50_95: Mapping[str, float]
    oks_map50_95: float | None = None
    oks_map50: float | None = None
    oks_share: float | None = None
    truth_point_error: float | None = None
    mean_point_error: float | None = None
    worst_point_error: float | None = None

    @property
    def share(self) -> float | None:
        """What a floor is compared with: the share of the baseline's mAP, of boxes or of keypoints, whichever is less.

        Without labels it is the share of matched boxes.
        """
        shares = [item for item in (self.map_share, self.oks_share) if item is not None]
        return min(shares) if shares else self.matched_share


def answers_from_server(
    url: str,
    model_name: str,
    frames: Iterable[Frame],
    *,
    total: int,
    is_baseline: bool,
    on_frame: OnFrame = ignore_frame,
) -> Answers:
    """The model's detections of confidence 0.001 or more for each frame, by the pipeline of its role."""
    pipeline: BaselinePipeline | OptimisedPipeline
    if is_baseline:
        pipeline = BaselinePipeline(url, model_name, min_confidence=MIN_CONFIDENCE, timeout_s=REQUEST_TIMEOUT_S)
    else:
        pipeline = OptimisedPipeline(
            url, model_name, min_confidence=MIN_CONFIDENCE, timeout_s=REQUEST_TIMEOUT_S, max_in_flight=1
        )
    found: list[Detections] = []
    times_ns: list[int] = []
    with pipeline:
        for result in pipeline.run(frames):
            found.append(result.detections)
            times_ns.append(result.wire_ns)
            on_frame(model_name, len(found), total)
    return Answers(detections=found, request_p50_ns=int(nearest_rank(np.array(times_ns), 0.5)) if times_ns else 0)


def results_from_answers(
    answers: Mapping[str, Answers], dataset: Dataset, card: ModelCard, *, baseline: str
) -> dict[str, AccuracyResult]:
    """The figures of each model from its answers to the data set's frames. card: the baseline's."""
    found = {name: item.detections for name, item in answers.items()}
    if card.task == "classify" and dataset.has_truth:
        raise ConfigError(
            f"{card.model} is a classifier and {dataset.name} has boxes; use --frames with pictures without labels"
        )
    truth_figures: dict[str, TruthFigures] = {}
    point_truth: dict[str, PointTruth | None] = {}
    if dataset.has_truth:
        mapping = map_classes(dataset, card.class_names, weights=card.weights)
        expect_same_points(card.keypoint_layout, dataset.keypoints, where=dataset.name, weights=card.weights)
        truth_figures, point_truth = _truth_figures(found, dataset, mapping)
        if (found_share := truth_figures[baseline].map50_95) < NEAR_ZERO:
            few = f"next to none (mAP50-95 {found_share:.4f})" if found_share > 0 else "none"
            raise ConfigError(
                f"the baseline {baseline} finds {few} of the labelled objects of {dataset.name}, so nothing can be "
                "compared with it; check that the labels belong to the pictures, and of an .onnx file the --head and "
                "the order of its --names"
            )
        if (points := point_truth[baseline]) and points.oks_map50_95 < NEAR_ZERO:
            raise ConfigError(
                f"the baseline {baseline} finds next to none of the labelled keypoints of {dataset.name} (OKS-mAP50-95 "
                f"{points.oks_map50_95:.4f}), so nothing can be compared with it; check that the labels have their "
                "points in the model's order"
            )
    return {
        name: _with_points(
            _result(
                name,
                dataset,
                card.class_names,
                answers[name].request_p50_ns / 1e6,
                figures_from_baseline(detections, found[baseline]),
                truth_figures.get(name),
                truth_figures.get(baseline),
            ),
            points_from_baseline(detections, found[baseline]),
            point_truth.get(name),
            point_truth.get(baseline),
        )
        for name, detections in found.items()
    }


def _truth_figures(
    found: Mapping[str, Sequence[Detections]], dataset: Dataset, mapping: tuple[int, ...]
) -> tuple[dict[str, TruthFigures], dict[str, PointTruth | None]]:
    truth, sizes = [], []
    for frame in dataset.frames():
        if frame.truth is None:
            raise ValueError(f"frame {frame.index} of {dataset.name} has no truth")
        truth.append(frame.truth)
        sizes.append(frame.size_wh)
    mapped = {name: [in_dataset_classes(item, mapping) for item in detections] for name, detections in found.items()}
    names = dataset.class_names
    return (
        {name: figures_from_truth(detections, truth, sizes, names) for name, detections in mapped.items()},
        {name: points_from_truth(detections, truth, sizes, names) for name, detections in mapped.items()},
    )


def _with_points(
    result: AccuracyResult, agreement: PointAgreement | None, truth: PointTruth | None, reference: PointTruth | None
) -> AccuracyResult:
    """The result with the figures of its keypoints. reference: the baseline's against the labels."""
    share = truth.oks_map50_95 / reference.oks_map50_95 if truth and reference and reference.oks_map50_95 else None
    return replace(
        result,
        oks_map50_95=truth.oks_map50_95 if truth else None,
        oks_map50=truth.oks_map50 if truth else None,
        oks_share=share,
        truth_point_error=truth.mean_error if truth else None,
        mean_point_error=agreement.mean_error if agreement else None,
        worst_point_error=agreement.worst_error if agreement else None,
    )


def _result(
    name: str,
    dataset: Dataset,
    model_classes: Sequence[str],
    request_p50_ms: float,
    agreement: AgreementFigures,
    figures: TruthFigures | None,
    reference: TruthFigures | None,
) -> AccuracyResult:
    if figures and reference:
        losses = {key: value - figures.class_map50_95[key] for key, value in reference.class_map50_95.items()}
    else:
        losses = {model_classes[label]: float(lost) for label, lost in agreement.class_lost.items()}
    worst = max(losses, key=lambda key: losses[key], default="")
    return AccuracyResult(
        variant=name,
        kind=dataset.kind,
        dataset=dataset.name,
        dataset_sha256=dataset.sha256,
        frames=dataset.size,
        map50_95=figures.map50_95 if figures else None,
        map50=figures.map50 if figures else None,
        map_share=figures.map50_95 / reference.map50_95 if figures and reference else None,
        boxes=agreement.boxes,
        found_boxes=agreement.found_boxes,
        matched_share=agreement.matched_share,
        mean_box_error_px=agreement.mean_box_error_px,
        worst_box_error_px=agreement.worst_box_error_px,
        mean_confidence_error=agreement.mean_confidence_error,
        worst_confidence_error=agreement.worst_confidence_error,
        worst_class=worst if losses.get(worst, 0) > 0 else "",
        worst_class_loss=max(losses.get(worst, 0.0), 0.0),
        request_p50_ms=request_p50_ms,
        class_map50_95=figures.class_map50_95 if figures else {},
    )
