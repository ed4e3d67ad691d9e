"""Why a variant fell below its floor: probes that undo common faults, and signs in its answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice

import cv2
import numpy as np
import numpy.typing as npt

from photofinish.detections import Detections
from photofinish.frame import Frame
from photofinish.model_card import ModelCard
from photofinish.perf.accuracy.answers import AccuracyResult, Answers
from photofinish.perf.accuracy.data import Dataset
from photofinish.perf.accuracy.figures import figures_from_baseline

PROBE_FRAMES = 16
RECOVERED_SHARE = 0.5
"""A probe explains the fault when it brings back at least this part of the agreement that was lost."""
COLLAPSED_SHARE = 0.1

Image = npt.NDArray[np.uint8]
Ask = Callable[[str, Iterable[Frame]], Answers]


def _from_normalised(image: Image, mean: Sequence[float], deviation: Sequence[float]) -> Image:
    """The picture that looks like `image` to a graph that subtracts `mean` and divides by `deviation` (RGB, 0..1)."""
    undone = image[..., ::-1].astype(np.float32) / 255 * np.array(deviation, np.float32) + np.array(mean, np.float32)
    return np.ascontiguousarray(np.rint(np.clip(undone, 0, 1) * 255).astype(np.uint8)[..., ::-1])


PROBES: Mapping[str, Callable[[Image], Image]] = {
    "it expects BGR where the frames contract sends RGB: its colour channels are swapped": lambda image: np.asarray(
        cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8
    ),
    "it normalises the picture with ImageNet's mean and deviation, which these weights were not trained with": (
        lambda image: _from_normalised(image, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    ),
    "it scales the picture to -1..1, these weights expect 0..1": (
        lambda image: _from_normalised(image, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    ),
}
"""What is wrong, and the picture with which a variant that has this fault answers as the baseline does."""


def diagnose(
    card: ModelCard,
    answers: Answers,
    baseline_answers: Answers,
    *,
    dataset: Dataset,
    ask: Ask,
) -> str:
    """What is probably wrong with a refused variant, "" when no sign and no probe tells.

    ask: `(model name, frames) -> answers`, through the server.
    """
    found, baseline = answers.detections, baseline_answers.detections
    if len(found) > 1 and all(_same(found[0], other) for other in found[1:]):
        return "it gives the same answer to every picture: its head is zeroed, or the picture does not reach it"
    frames = list(islice(dataset.frames(), PROBE_FRAMES))
    before = _agreement(found[: len(frames)], baseline)
    for fault, change in PROBES.items():
        probed = [replace(frame, image_hwc_bgr=change(frame.image_hwc_bgr)) for frame in frames]
        after = _agreement(ask(card.variant, probed).detections, baseline)
        if after - before >= RECOVERED_SHARE * (1 - before):
            return f"{fault} (undoing that raises the agreement from {before:.2f} to {after:.2f})"
    shown = figures_from_baseline(found, baseline)
    if not shown.boxes or shown.found_boxes > COLLAPSED_SHARE * shown.boxes:
        return ""
    collapse = f"it shows {shown.found_boxes} boxes, the baseline {shown.boxes}"
    if card.precision == "int8":
        return f"{collapse}: its INT8 ranges cut off what these pictures need"
    return (
        f"{collapse}: the picture reaches the network in a wrong scale (0..255 instead of 0..1, or divided twice), or "
        "its weights are damaged"
    )


def advice(card: ModelCard, result: AccuracyResult) -> str:
    """What to do about a refused variant."""
    if card.precision == "int8":
        origin = card.calibration.get("origin", "unknown frames")
        return (
            f"its INT8 ranges come from {card.calibration.get('frames', 'unknown')} frames ({origin}); collect some of "
            "the scenes it will see with `photofinish calibrate SOURCE --out FOLDER` and pass --calibration FOLDER"
        )
    return f"look at {result.variant}'s export, or lower min_map_share in variants.toml if the loss is acceptable"


def _agreement(found: Sequence[Detections], baseline: Sequence[Detections]) -> float:
    """Share of matching boxes, less what their confidences differ on average."""
    figures = figures_from_baseline(found, baseline[: len(found)])
    return (figures.matched_share or 0.0) - figures.mean_confidence_error


def _same(a: Detections, b: Detections) -> bool:
    return (
        len(a) == len(b)
        and np.array_equal(a.class_id, b.class_id)
        and np.allclose(a.confidence, b.confidence, atol=1e-4)
    )
