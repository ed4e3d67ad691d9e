"""What is done with a side's results: counted on its board, drawn into its panel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from photofinish.client.detect.drawing import draw_detections
from photofinish.client.pipeline.frame_result import FrameResult
from photofinish.client.ui.processes.board import NO_TRUTH, Board
from photofinish.client.ui.processes.slots import PictureWriter
from photofinish.detections import Detections, detections_to_target, match_detections
from photofinish.letterbox import Letterbox, letterboxed_from_image
from photofinish.model_card import ModelCard

PANEL_WH = (640, 360)
PANEL_SCALE = 0.65
"""Size of lines and text in a panel: readable when the page shows it at its own size."""
PANEL_INTERVAL_NS = 15_000_000
"""A panel is redrawn at most this often: 66 times a second, above what the stream shows."""


class Scribe:
    """Counts results and draws panels."""

    def __init__(self, board: Board, panel: PictureWriter, card: ModelCard, *, counts_waiting: bool) -> None:
        """counts_waiting: latency runs from the moment the picture was there, not from when it was taken up."""
        self._board = board
        self._panel = panel
        self._class_names = card.class_names
        self._truth_classes: npt.NDArray[np.int32] | None = None
        self._has_looked_for_truth = False
        self._counts_waiting = counts_waiting
        self._drawn_ns = 0

    def take(self, result: FrameResult) -> None:
        """Count and draw the result of a side that never waits for the other."""
        self._take(result, latency_ns=result.latency_ns if self._counts_waiting else result.service_ns)

    def take_turn(self, result: FrameResult, *, turn_ns: int, asked_at: int) -> None:
        """Count and draw the result of a turn. Its latency is the turn's own time: no wait for the other side.

        asked_at: the newest frame's index when the side asked for the turn; later ones passed while it waited.
        """
        passed = max(result.frame.index - asked_at, 0)
        self._take(result, latency_ns=turn_ns, turn_ns=turn_ns, passed=passed)

    def _take(self, result: FrameResult, *, latency_ns: int, turn_ns: int = 0, passed: int = 0) -> None:
        frame = result.frame
        # On the board, so that frames which passed while this process was started again count as well.
        next_index = self._board.next_index
        gap = max(frame.index - next_index, 0) if next_index else 0
        truth_count, matched = self._judge(result.detections, frame.truth)
        self._board.record(
            finished_ns=result.finished_ns,
            latency_ns=latency_ns,
            found=len(result.detections),
            truth=truth_count,
            matched=matched,
            dropped=gap - min(passed, gap),
            passed=min(passed, gap),
            turn_ns=turn_ns,
            index=frame.index,
        )
        if result.finished_ns - self._drawn_ns >= PANEL_INTERVAL_NS:
            self._drawn_ns = result.finished_ns
            image = panel_from_result(frame.image_hwc_bgr, result.detections, self._class_names)
            self._panel.write(image, index=frame.index, captured_ns=frame.captured_ns)

    def _judge(self, found: Detections, truth: Detections | None) -> tuple[int, int]:
        """Objects in the frame and how many of them were found; NO_TRUTH when nobody knows."""
        if truth is None:
            return NO_TRUTH, 0
        if not self._has_looked_for_truth:
            self._has_looked_for_truth = True
            self._truth_classes = _truth_classes(self._class_names)
        if self._truth_classes is None:
            return NO_TRUTH, 0
        mapped = Detections(
            boxes_xyxy=truth.boxes_xyxy,
            confidence=truth.confidence,
            class_id=self._truth_classes[truth.class_id].astype(np.int32),
        )
        return len(mapped), int((match_detections(found, mapped) >= 0).sum())


def _truth_classes(class_names: tuple[str, ...]) -> npt.NDArray[np.int32] | None:
    """For each class of the synthetic camera the model's class number, or None unless the model knows all of them."""
    from photofinish.synthetic import CLASS_NAMES

    if not set(CLASS_NAMES) <= set(class_names):
        return None
    return np.array([class_names.index(name) for name in CLASS_NAMES], dtype=np.int32)


def panel_from_result(
    image_hwc_bgr: npt.NDArray[np.uint8], detections: Detections, class_names: tuple[str, ...]
) -> npt.NDArray[np.uint8]:
    """The picture at panel size with its boxes: (360, 640, 3) uint8, padded with black."""
    panel, letterbox = letterboxed_from_image(image_hwc_bgr, PANEL_WH)
    _blacken_padding(panel, letterbox)
    return draw_detections(panel, detections_to_target(detections, letterbox), class_names, scale=PANEL_SCALE)


def _blacken_padding(panel: npt.NDArray[np.uint8], letterbox: Letterbox) -> None:
    left, top = letterbox.offset_xy
    width, height = letterbox.resized_wh
    inside = panel[top : top + height, left : left + width].copy() if (left or top) else None
    if inside is not None:
        panel[...] = 0
        panel[top : top + height, left : left + width] = inside
