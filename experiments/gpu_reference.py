"""What a served variant must answer: new frames, their rows by the CPU in FP32, and the comparison.

Backs: docs/benchmarking-goals.md, "The check now wants nine boxes in ten right in FP16."
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from photofinish.detections import Detections, detections_from_rows, match_detections
from photofinish.errors import ConfigError
from photofinish.export.graph.parity import reference_picture_paths
from photofinish.export.graph.session import output_from_onnx
from photofinish.letterbox import Letterbox, images_nchw_from_frames
from photofinish.model_card import ModelCard
from photofinish.pictures import image_from_file

Array = npt.NDArray[Any]


def fresh_frames(count: int, input_wh: tuple[int, int], seed: int) -> npt.NDArray[np.uint8]:
    """Pictures (count, height, width, 3) RGB that no earlier run has seen: crops of real photos under noise."""
    generator = np.random.default_rng(seed)
    photos = [cv2.cvtColor(image_from_file(path), cv2.COLOR_BGR2RGB) for path in reference_picture_paths()]
    frames = []
    for index in range(count):
        photo = photos[index % len(photos)]
        height, width = photo.shape[:2]
        side = int(min(height, width) * generator.uniform(0.6, 1.0))
        top, left = int(generator.integers(0, height - side + 1)), int(generator.integers(0, width - side + 1))
        crop = cv2.resize(np.ascontiguousarray(photo[top : top + side, left : left + side]), input_wh)
        noise = generator.normal(0, generator.uniform(0, 12), crop.shape)
        frame = np.clip(crop * generator.uniform(0.7, 1.2) + noise, 0, 255).astype(np.uint8)
        frames.append(frame[:, ::-1] if generator.integers(2) else frame)
    return np.ascontiguousarray(np.stack(frames))


def input_from_frames(card: ModelCard, frames: npt.NDArray[np.uint8]) -> Array:
    """The frames as the variant's contract wants them."""
    return frames if card.contract == "frames" else images_nchw_from_frames(frames)


def reference_rows(repository: Path, frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Rows of every frame by an FP32 ONNX variant of the repository, on the CPU, one frame at a time.

    A rectangular input has a reference of its own, `<model>_onnx_fp32_rect`. Raises ConfigError where there is none.
    """
    suffix = "onnx_fp32" if frames.shape[1] == frames.shape[2] else "onnx_fp32_rect"
    found = sorted(repository.glob(f"*_{suffix}/1/model.onnx"))
    if not found:
        raise ConfigError(f"{repository} has no *_{suffix} to compare answers with; export that variant as well")
    return output_from_onnx(found[0], frames)


def detections_of(rows: npt.NDArray[np.float32], card: ModelCard) -> Detections:
    """The detections that count: a confidence of 0.25 or more."""
    same = Letterbox(source_wh=card.input_wh, target_wh=card.input_wh)
    return detections_from_rows(rows, same, min_confidence=0.25, nms_iou=0.5 if card.needs_client_nms else None)


class Checker:
    """Compares a served variant's rows with the reference and keeps the worst difference."""

    def __init__(self, card: ModelCard, reference: npt.NDArray[np.float32]) -> None:
        self.card = card
        self.expected = [detections_of(rows, card) for rows in reference]
        # What fails must be a row of another picture, not a precision's own error on noisy pictures, where noise of one
        # grey level can move a confidence by 0.4: a tenth of the boxes may be off in FP16, half of them in INT8.
        self.tolerance = 0.03 if card.precision == "fp32" and not card.tf32 else 0.1
        self.share_off = {"fp32": 0.0, "int8": 0.5}.get(card.precision, 0.1)
        self.compared = 0
        self.wrong: list[str] = []
        self.worst_confidence = 0.0
        self.worst_box_px = 0.0
        self._lock = threading.Lock()

    def check(self, picks: Sequence[int], output: npt.NDArray[np.float32]) -> None:
        """output: the rows of the frames `picks`, in that order."""
        for pick, rows in zip(picks, output, strict=True):
            found, expected = detections_of(rows, self.card), self.expected[pick]
            # A box near the threshold may be on either side of it.
            sure = expected.select(expected.confidence >= 0.25 + self.tolerance)
            matches = match_detections(sure, found, iou_threshold=0.9)
            confidence = [abs(float(sure.confidence[i] - found.confidence[j])) for i, j in enumerate(matches) if j >= 0]
            boxes = [
                float(np.abs(sure.boxes_xyxy[i] - found.boxes_xyxy[j]).max()) for i, j in enumerate(matches) if j >= 0
            ]
            extra = int((found.confidence >= 0.25 + self.tolerance).sum()) - len(expected)
            with self._lock:
                self.compared += 1
                self.worst_confidence = max(self.worst_confidence, *confidence, 0.0)
                self.worst_box_px = max(self.worst_box_px, *boxes, 0.0)
                missing = int((matches < 0).sum())
                off = missing + sum(error > self.tolerance for error in confidence)
                allowed = math.ceil(self.share_off * len(sure))
                if off > allowed or (extra > allowed and self.share_off < 0.5):
                    self.wrong.append(
                        f"frame {pick}: {missing} of {len(sure)} boxes missing, {max(extra, 0)} too many, "
                        f"confidence off by {max(confidence, default=0.0):.3f}"
                    )
