"""Both sides' pictures with their boxes, at the size of the panels; each is drawn once, since they come again."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import numpy.typing as npt

from photofinish.client.detect.drawing import draw_detections
from photofinish.client.ui.processes.side import Side
from photofinish.client.ui.race.places import RaceBox
from photofinish.client.ui.race.replay import SeenPictures
from photofinish.detections import SHOWN_CONFIDENCE, Detections
from photofinish.letterbox import Letterbox, letterboxed_from_image

REFERENCE_HEIGHT = 560
"""Height of a panel at which lines and labels have their full size."""
KEPT_BYTES = 400_000_000
"""Of drawn pictures; the oldest are drawn again when they are needed."""
_DIM = 0.45


class PanelPictures:
    """Pictures of one size. frame numbers count from 1; 0 is before the first one: no boxes, dimmed."""

    def __init__(self, pictures: SeenPictures, box: RaceBox) -> None:
        """box: a panel; only its size counts."""
        self._pictures = pictures
        self._size_wh = (box.width, box.height)
        self._drawn: OrderedDict[tuple[Side, int], npt.NDArray[np.uint8]] = OrderedDict()
        self._most = max(KEPT_BYTES // (box.width * box.height * 3), 4)

    def picture(self, side: Side, frame: int) -> npt.NDArray[np.uint8]:
        """What a side shows while `frame` is its newest one: (height, width, 3) uint8, not to be changed."""
        index = self._pictures.index_of(frame) if frame else -1
        key = (side, index)
        if key in self._drawn:
            self._drawn.move_to_end(key)
            return self._drawn[key]
        if index < 0:
            plain, _ = self._resized(0)
            drawn = (plain * _DIM).astype(np.uint8)
        else:
            drawn = self._with_boxes(side, index)
        self._drawn[key] = drawn
        while len(self._drawn) > self._most:
            self._drawn.popitem(last=False)
        return drawn

    def _with_boxes(self, side: Side, index: int) -> npt.NDArray[np.uint8]:
        panel, letterbox = self._resized(index)
        found = self._pictures.found[side][index].at_least(SHOWN_CONFIDENCE)
        placed = Detections(
            boxes_xyxy=letterbox.boxes_to_target(found.boxes_xyxy),
            confidence=found.confidence,
            class_id=found.class_id,
        )
        scale = max(self._size_wh[1] / REFERENCE_HEIGHT, 0.4)
        return draw_detections(panel, placed, self._pictures.class_names, scale=scale)

    def _resized(self, index: int) -> tuple[npt.NDArray[np.uint8], Letterbox]:
        panel, letterbox = letterboxed_from_image(self._pictures.images[index], self._size_wh)
        left, top = letterbox.offset_xy
        width, height = letterbox.resized_wh
        framed = np.zeros_like(panel)
        framed[top : top + height, left : left + width] = panel[top : top + height, left : left + width]
        return framed, letterbox
