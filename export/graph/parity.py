"""How far an artifact's output lies from its source's on real pictures, and whether that is near enough to publish."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from photofinish.detections import (
    PARTNER_CONFIDENCE,
    ROW_WIDTH,
    SHOWN_CONFIDENCE,
    Detections,
    detections_in_letterbox,
    diagonals,
    iou_matrix,
    match_detections,
)
from photofinish.errors import ExportError
from photofinish.keypoints.layout import POINT_WIDTH, VISIBLE
from photofinish.letterbox import letterboxed_from_image

Array = npt.NDArray[np.float32]
PICTURE_NAMES = ("bus.jpg", "zidane.jpg")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """The largest difference that a precision may make. min_iou: of each box; max_confidence: difference of each.

    max_point_error: how far a visible keypoint may lie off, as a share of its box's diagonal.
    """

    min_iou: float
    max_confidence: float
    max_point_error: float


TOLERANCES: Mapping[str, Tolerance] = {
    "fp32": Tolerance(min_iou=0.99, max_confidence=0.002, max_point_error=0.01),
    "fp16": Tolerance(min_iou=0.95, max_confidence=0.04, max_point_error=0.02),
    "bf16": Tolerance(min_iou=0.90, max_confidence=0.05, max_point_error=0.04),
}
"""By precision. INT8 has no entry: its measure is the accuracy gate, on a data set."""
MAX_RAW_DIFFERENCE = 0.05
"""For raw FP32 outputs, in their own units (pixels and confidences)."""


def reference_picture_paths() -> tuple[Path, ...]:
    """The photos that come with the ultralytics package."""
    spec = importlib.util.find_spec("ultralytics")
    if spec is None or not spec.submodule_search_locations:
        raise ExportError('export needs the ultralytics package; install it with `pip install "photofinish[export]"`')
    folder = Path(spec.submodule_search_locations[0]) / "assets"
    return tuple(folder / name for name in PICTURE_NAMES)


def frames_from_pictures(paths: Sequence[Path], input_wh: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """The pictures letterboxed, RGB: (n, height, width, 3) uint8."""
    frames = []
    for path in paths:
        image_hwc_bgr = cv2.imread(str(path))
        if image_hwc_bgr is None:
            raise ExportError(f"{path} cannot be read as a picture; reinstall ultralytics or pass other pictures")
        frames.append(letterboxed_from_image(image_hwc_bgr.astype(np.uint8), input_wh, swap_channels=True)[0])
    return np.stack(frames)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsParity:
    """Figures of one comparison. boxes: how many reference boxes at confidence 0.25 or more were compared.

    max_point_error: of their visible keypoints, as a share of the box's diagonal; None for rows without keypoints.
    """

    pictures: int
    boxes: int
    min_iou: float
    max_confidence_difference: float
    max_point_error: float | None = None

    def to_card(self) -> dict[str, Any]:
        """The figures as they stand in the model's card; those of keypoints where there are some."""
        return {key: value for key, value in asdict(self).items() if value is not None}


def parity_from_rows(found: Array, reference: Array) -> RowsParity:
    """Compare rows (n, 300, 6 or more) picture by picture.

    Every reference box of confidence 0.25 or more must have a found box of its class; the worst one counts.
    The confidences are compared in order over all rows too, which is what an untrained model can be judged by.
    """
    _expect_comparable(found, reference)
    confidence = float(np.max(np.abs(found[..., 4] - reference[..., 4]), initial=0.0))
    min_iou, boxes, point_error = 1.0, 0, 0.0
    for found_rows, reference_rows in zip(found, reference, strict=True):
        wanted = reference_rows[reference_rows[:, 4] >= SHOWN_CONFIDENCE]
        boxes += len(wanted)
        if len(wanted):
            partners = found_rows[found_rows[:, 4] >= PARTNER_CONFIDENCE]
            overlaps, gaps, matches = _matches(detections_in_letterbox(partners), detections_in_letterbox(wanted))
            min_iou, confidence = min(min_iou, float(overlaps.min())), max(confidence, float(gaps.max()))
            point_error = max(point_error, _point_error(partners[matches[matches >= 0]], wanted[matches >= 0]))
    return RowsParity(
        pictures=len(reference),
        boxes=boxes,
        min_iou=min_iou,
        max_confidence_difference=confidence,
        max_point_error=point_error if reference.shape[-1] > ROW_WIDTH else None,
    )


def _matches(partners: Detections, wanted: Detections) -> tuple[Array, Array, npt.NDArray[np.intp]]:
    """For each wanted box the overlap with its partner, their confidence difference, and which partner it is.

    Partners are found boxes that could be shown, each of one wanted box: INT8 gives faint boxes beside the strong one,
    and one of those may overlap more. A wanted box without a partner (-1) has overlap 0 and its whole confidence.
    """
    matches = match_detections(wanted, partners)
    overlaps, gaps = np.zeros(len(wanted), np.float32), wanted.confidence.copy()
    pairs = matches >= 0
    if pairs.any():
        between = iou_matrix(wanted.boxes_xyxy[pairs], partners.boxes_xyxy)
        overlaps[pairs] = between[np.arange(len(between)), matches[pairs]]
        gaps[pairs] = np.abs(wanted.confidence[pairs] - partners.confidence[matches[pairs]])
    return overlaps, gaps, matches


def _point_error(found_rows: Array, wanted_rows: Array) -> float:
    """The farthest that a point visible in the wanted rows lies off, as a share of its box's diagonal; 0 of none."""
    points = (wanted_rows.shape[1] - ROW_WIDTH) // POINT_WIDTH
    found, wanted = (rows[:, ROW_WIDTH:].reshape(len(rows), points, POINT_WIDTH) for rows in (found_rows, wanted_rows))
    errors = np.linalg.norm(found[..., :2] - wanted[..., :2], axis=2) / diagonals(wanted_rows[:, :4])[:, None]
    return float(np.max(errors, where=wanted[..., 2] >= VISIBLE, initial=0.0))


def check_rows(what: str, found: Array, reference: Array, precision: str) -> dict[str, Any]:
    """The parity figures for the card; ExportError when they exceed the precision's tolerance."""
    parity = parity_from_rows(found, reference)
    limit = TOLERANCES.get(precision)
    points = parity.max_point_error
    if limit and (
        parity.min_iou < limit.min_iou
        or parity.max_confidence_difference > limit.max_confidence
        or (points or 0.0) > limit.max_point_error
    ):
        of_points = ""
        if points is not None:
            most = f"at most {limit.max_point_error:.0%} expected"
            of_points = f", largest error of a keypoint {points:.2%} of its box's diagonal ({most})"
        raise ExportError(
            f"{what} disagrees with its source on real pictures: smallest box overlap {parity.min_iou:.3f} "
            f"(at least {limit.min_iou} expected), largest confidence difference "
            f"{parity.max_confidence_difference:.4f} (at most {limit.max_confidence} expected){of_points}; it was not "
            "published"
        )
    return parity.to_card()


def check_raw(what: str, found: Array, reference: Array) -> dict[str, Any]:
    """The largest difference of two raw outputs; ExportError when it exceeds MAX_RAW_DIFFERENCE."""
    _expect_comparable(found, reference)
    difference = float(np.max(np.abs(found - reference), initial=0.0))
    if not difference <= MAX_RAW_DIFFERENCE:
        raise ExportError(
            f"{what} disagrees with its source on real pictures: largest difference of the raw output {difference:.4g} "
            f"(at most {MAX_RAW_DIFFERENCE} expected); it was not published"
        )
    return {"pictures": len(reference), "max_raw_difference": difference}


def check_scores(what: str, found: Array, reference: Array, precision: str) -> dict[str, Any]:
    """The largest difference of two score arrays (n, classes); ExportError when it exceeds the tolerance."""
    _expect_comparable(found, reference)
    difference = float(np.max(np.abs(found - reference), initial=0.0))
    limit = TOLERANCES.get(precision)
    if limit and not difference <= limit.max_confidence:
        raise ExportError(
            f"{what} disagrees with its source on real pictures: largest score difference {difference:.4f} "
            f"(at most {limit.max_confidence} expected); it was not published"
        )
    return {"pictures": len(reference), "max_score_difference": difference}


def _expect_comparable(found: Array, reference: Array) -> None:
    if found.shape != reference.shape:
        raise ExportError(f"the artifact returns shape {found.shape}, its source {reference.shape}")
    if not np.isfinite(found).all():
        raise ExportError("the artifact's output holds NaN or infinity on real pictures; it was not published")
