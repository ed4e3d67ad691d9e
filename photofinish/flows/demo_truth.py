"""Recall and precision of both pipelines on frames whose objects are known exactly."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from photofinish.detections import Detections, match_detections
from photofinish.frame import Frame
from photofinish.synthetic import CLASS_NAMES

if TYPE_CHECKING:
    from photofinish.client.pipeline.frame_result import FrameResult
    from photofinish.model_card import ModelCard


class JudgedPipeline(Protocol):
    """A pipeline and the card of its model."""

    card: ModelCard

    def run(self, frames: Iterable[Frame]) -> Iterator[FrameResult]:
        """Results in frame order."""


def truth_table(baseline: JudgedPipeline, optimised: JudgedPipeline, frames: Sequence[Frame]) -> str:
    """Two lines of recall and precision, or "" where the truth is not known to the source or the model."""
    known = [frame for frame in frames if frame.truth is not None]
    if not known or not set(CLASS_NAMES) <= set(baseline.card.class_names):
        return ""
    lines = [f"against the exact objects of {len(known)} synthetic frames (confidence 0.25, IoU 0.5)"]
    lines.append(f"{'':<12}{'recall':>10}{'precision':>12}")
    for label, pipeline in (("baseline", baseline), ("optimised", optimised)):
        recall, precision = recall_and_precision(pipeline, known)
        lines.append(f"{label:<12}{recall:>10.1%}{precision:>12.1%}")
    return "\n".join(lines)


def recall_and_precision(pipeline: JudgedPipeline, frames: Sequence[Frame]) -> tuple[float, float]:
    """Share of the objects that were found, and share of the found boxes that are objects."""
    names = pipeline.card.class_names
    classes = np.array([names.index(name) for name in CLASS_NAMES], dtype=np.int32)
    matched = objects = found = 0
    for result in pipeline.run(frames):
        truth = result.frame.truth
        if truth is None:
            continue
        mapped = Detections(boxes_xyxy=truth.boxes_xyxy, confidence=truth.confidence, class_id=classes[truth.class_id])
        matched += int((match_detections(result.detections, mapped) >= 0).sum())
        objects += len(truth)
        found += len(result.detections)
    return matched / max(objects, 1), matched / max(found, 1)
