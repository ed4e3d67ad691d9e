"""One picture through both sides of the view: what each finds, how long it takes, and what differs."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from photofinish.client.detect.drawing import class_name, draw_detections
from photofinish.client.pipeline.opening import BaselinePipeline, OptimisedPipeline, Pipeline
from photofinish.client.ui.page.split_view import Choice, SplitView
from photofinish.client.ui.processes.side import SIDES, Side
from photofinish.detections import (
    PARTNER_CONFIDENCE,
    SHOWN_CONFIDENCE,
    Detections,
    detections_to_target,
    match_partners,
)
from photofinish.errors import InferenceError
from photofinish.frame import Frame
from photofinish.letterbox import Letterbox

ROUNDS = 3
"""Times that each side takes a picture; the median is told."""
SHOWN_SIDE = 1280
"""Pixels of the longer side of what is sent back."""
TIMEOUT_S = 20.0
_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 88]


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureDifference:
    """What two sides found of one picture.

    both: objects that both found. only: class and confidence of what one side alone shows. confidence, pixels: by how
    much the scores and the corners of common boxes differ at most.
    """

    both: int
    only: dict[Side, list[tuple[str, float]]]
    confidence: float
    pixels: float


class TwoSides:
    """Both pipelines of what the view shows now, opened when first needed. Used by one thread at a time."""

    def __init__(self, view: SplitView, clock: Callable[[], int] = time.perf_counter_ns) -> None:
        self._view = view
        self._clock = clock
        self._lock = threading.Lock()
        self._opened: tuple[Choice, dict[Side, Pipeline]] | None = None
        self._resources = ExitStack()
        self._is_closed = False

    def close(self) -> None:
        """Give connections and memory back, for good."""
        with self._lock:
            self._is_closed = True
            self._forget()

    def document(self, image_hwc_bgr: npt.NDArray[np.uint8]) -> dict[str, Any]:
        """Everything the page shows of one picture, JSON-able. Raises InferenceError and other PhotofinishErrors."""
        with self._lock:
            try:
                return self._document(image_hwc_bgr)
            except InferenceError:
                if self._opened is None or self._is_closed:
                    raise
                self._forget()  # the server may have been started again
                return self._document(image_hwc_bgr)

    def _document(self, image: npt.NDArray[np.uint8]) -> dict[str, Any]:
        pipelines = self._pipelines()
        frame = Frame(image_hwc_bgr=image, stream_id="picture", index=0, captured_ns=self._clock())
        found = {side: pipelines[side].process(frame).detections for side in SIDES}  # the first one warms up
        times_ns: dict[Side, list[int]] = {side: [] for side in SIDES}
        for _ in range(ROUNDS):
            for side in SIDES:
                times_ns[side].append(pipelines[side].process(frame).service_ns)
        names = pipelines["baseline"].card.class_names
        reduced, letterbox = _reduced(image)
        shown = shown_of(found)
        difference = difference_between(found, names)
        return {
            "size_wh": list(frame.size_wh),
            "sides": {
                side: {
                    "variant": pipelines[side].model.name,
                    "ms": round(sorted(times_ns[side])[ROUNDS // 2] / 1e6, 2),
                    "boxes": _rows(shown[side], names),
                    "picture": _data_url(draw_detections(reduced, detections_to_target(shown[side], letterbox), names)),
                }
                for side in SIDES
            },
            "difference": {
                "both": difference.both,
                "only": {side: [list(item) for item in items] for side, items in difference.only.items()},
                "confidence": round(difference.confidence, 3),
                "pixels": round(difference.pixels, 1),
            },
            "untrained": pipelines["baseline"].card.untrained,
        }

    def _pipelines(self) -> dict[Side, Pipeline]:
        choice = self._view.choice
        if self._is_closed:
            raise InferenceError("the page is closing")
        if self._opened is None or self._opened[0] != choice:
            self._forget()
            with ExitStack() as stack:
                url, least = self._view.url, PARTNER_CONFIDENCE
                made: dict[Side, Pipeline] = {
                    "baseline": stack.enter_context(
                        BaselinePipeline(url, choice.baseline, min_confidence=least, timeout_s=TIMEOUT_S)
                    ),
                    "optimised": stack.enter_context(
                        OptimisedPipeline(url, choice.optimised, min_confidence=least, timeout_s=TIMEOUT_S)
                    ),
                }
                self._resources = stack.pop_all()
            self._opened = (choice, made)
        return self._opened[1]

    def _forget(self) -> None:
        self._opened = None
        self._resources.close()


def shown_of(found: dict[Side, Detections]) -> dict[Side, Detections]:
    """What each side shows: its boxes of SHOWN_CONFIDENCE, and weaker ones that the other side shows more surely.

    So that who counts the boxes of both lists counts what `difference_between` says. found: as there.
    """
    shown: dict[Side, Detections] = {}
    for side in SIDES:
        own, other = found[side], found["optimised" if side == "baseline" else "baseline"]
        partners = match_partners(other.at_least(SHOWN_CONFIDENCE), own)
        wanted = own.confidence >= SHOWN_CONFIDENCE
        wanted[partners[partners >= 0]] = True
        shown[side] = own.select(wanted)
    return shown


def difference_between(found: dict[Side, Detections], class_names: tuple[str, ...]) -> PictureDifference:
    """What differs in what is shown; a box whose partner is a little weaker than what is shown is not alone.

    found: with all boxes of PARTNER_CONFIDENCE or more.
    """
    only: dict[Side, list[tuple[str, float]]] = {}
    both, confidence, pixels = 0, 0.0, 0.0
    for side, other in (("baseline", found["optimised"]), ("optimised", found["baseline"])):
        side_name: Side = "baseline" if side == "baseline" else "optimised"
        shown = found[side_name].at_least(SHOWN_CONFIDENCE)
        partners = match_partners(shown, other)
        only[side_name] = [
            (class_name(class_names, int(class_id)), round(float(score), 3))
            for class_id, score in zip(shown.class_id[partners < 0], shown.confidence[partners < 0], strict=True)
        ]
        paired = partners >= 0
        both = max(both, int(paired.sum()))
        if paired.any():
            matched = other.select(partners[paired])
            confidence = max(confidence, float(np.abs(shown.confidence[paired] - matched.confidence).max()))
            pixels = max(pixels, float(np.abs(shown.boxes_xyxy[paired] - matched.boxes_xyxy).max()))
    return PictureDifference(both=both, only=only, confidence=confidence, pixels=pixels)


def _reduced(image: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint8], Letterbox]:
    """The picture as it is sent back, and how it lies there: without padding."""
    height, width = image.shape[:2]
    scale = min(SHOWN_SIDE / max(width, height), 1.0)
    target_wh = (max(round(width * scale), 1), max(round(height * scale), 1))
    letterbox = Letterbox(source_wh=(width, height), target_wh=target_wh)
    if scale == 1.0:
        return image, letterbox
    return np.asarray(cv2.resize(image, target_wh, interpolation=cv2.INTER_AREA), dtype=np.uint8), letterbox


def _rows(found: Detections, names: tuple[str, ...]) -> list[dict[str, Any]]:
    return [
        {"name": class_name(names, int(class_id)), "score": round(score, 3), "box": [round(side, 1) for side in box]}
        for class_id, score, box in zip(
            found.class_id, found.confidence.tolist(), found.boxes_xyxy.tolist(), strict=True
        )
    ]


def _data_url(image: npt.NDArray[np.uint8]) -> str:
    """A JPEG inside the answer itself: no file of it lies anywhere, and no address leads to it."""
    content = cv2.imencode(".jpg", image, _JPEG)[1].tobytes()
    return f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"
