"""Joins both panels into one picture and encodes it once for everybody who looks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from photofinish.client.ui.processes.board import Board
from photofinish.client.ui.processes.scribe import PANEL_WH
from photofinish.client.ui.processes.side import SIDES, Side
from photofinish.client.ui.processes.slots import PictureReader

Layout = Literal["wide", "tall"]
"""wide: panels side by side. tall: one above the other, for a phone."""
LAYOUTS: tuple[Layout, Layout] = ("wide", "tall")

MAX_PICTURES_PER_S = 30.0
LONGEST_SILENCE_S = 0.5
JPEG_QUALITY = 80
ACCENTS_BGR: Mapping[Side, tuple[int, int, int]] = {"baseline": (0, 159, 230), "optimised": (233, 180, 86)}
"""Orange and sky blue of Okabe and Ito's palette, told apart with any colour vision."""

_LINE_PX = 16
_STRIP_PX = 14
_STRIP_S = 4.0
_STRIP_GROUND = 24
_DIM = 0.3
_POLL_S = 0.002


class FrameHub:
    """The newest encoded picture of each layout, and how many viewers each has."""

    def __init__(self) -> None:
        """No picture yet, no viewers."""
        self._lock = threading.Lock()
        self._pictures: dict[Layout, tuple[int, bytes]] = {layout: (0, b"") for layout in LAYOUTS}
        self._viewers: dict[Layout, int] = dict.fromkeys(LAYOUTS, 0)

    @contextmanager
    def viewing(self, layout: Layout) -> Iterator[None]:
        """Counts one viewer of that layout while open."""
        with self._lock:
            self._viewers[layout] += 1
        try:
            yield
        finally:
            with self._lock:
                self._viewers[layout] -= 1

    def viewers(self, layout: Layout) -> int:
        """How many look at that layout now."""
        return self._viewers[layout]

    def publish(self, layout: Layout, jpeg: bytes) -> None:
        """Replace the layout's picture."""
        self._pictures[layout] = (self._pictures[layout][0] + 1, jpeg)

    def newest(self, layout: Layout) -> tuple[int, bytes]:
        """Number of the newest picture, from 1, and its JPEG bytes; (0, b"") before the first."""
        return self._pictures[layout]


class Composer:
    """A thread that composes whenever a side has drawn, at most MAX_PICTURES_PER_S times a second."""

    def __init__(
        self,
        panels: Mapping[Side, PictureReader],
        boards: Mapping[Side, Board],
        hub: FrameHub,
        *,
        is_live: Callable[[Side], bool],
    ) -> None:
        """is_live: whether a side's picture is current; a panel that is not is dimmed."""
        self._panels = panels
        self._boards = boards
        self._hub = hub
        self._is_live = is_live
        self._seen: dict[Side, int] = dict.fromkeys(SIDES, 0)
        width, height = PANEL_WH
        self._pictures: dict[Side, npt.NDArray[np.uint8]] = {
            side: np.zeros((height, width, 3), dtype=np.uint8) for side in SIDES
        }
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="composer", daemon=True)

    def __enter__(self) -> Composer:
        """Start composing."""
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Stop composing."""
        self._stop.set()
        self._thread.join()

    def clear(self) -> None:
        """Show black panels until the sides draw again."""
        for picture in self._pictures.values():
            picture[...] = 0

    def _run(self) -> None:
        shown_s = 0.0
        while not self._stop.is_set():
            now_s = time.perf_counter()
            changed = any(self._panels[side].newest != self._seen[side] for side in SIDES)
            silence_s = now_s - shown_s
            if not (changed and silence_s >= 1 / MAX_PICTURES_PER_S - _POLL_S) and silence_s < LONGEST_SILENCE_S:
                time.sleep(_POLL_S)
                continue
            shown_s = now_s
            self._take_panels()
            for layout in LAYOUTS:
                if self._hub.viewers(layout):
                    self._hub.publish(layout, jpeg_from_picture(self._compose(layout, time.perf_counter_ns())))

    def _take_panels(self) -> None:
        is_watched = any(self._hub.viewers(layout) for layout in LAYOUTS)
        for side in SIDES:
            self._panels[side].tell_watched(is_watched)
            picture = self._panels[side].read(after=self._seen[side])
            if picture is not None:
                self._seen[side] = picture.sequence
                self._pictures[side] = picture.image_hwc_bgr

    def _compose(self, layout: Layout, now_ns: int) -> npt.NDArray[np.uint8]:
        panels = [self._finished_panel(side, now_ns) for side in SIDES]
        axis = 1 if layout == "wide" else 0
        return np.concatenate([panels[0], finish_line(layout), panels[1]], axis=axis)

    def _finished_panel(self, side: Side, now_ns: int) -> npt.NDArray[np.uint8]:
        panel = self._pictures[side]
        if not self._is_live(side):
            panel = (panel * _DIM).astype(np.uint8)
        finished_ns = self._boards[side].samples_since(now_ns - int(_STRIP_S * 1e9))["finished_ns"]
        return np.concatenate([panel, finish_strip(finished_ns, now_ns, ACCENTS_BGR[side])], axis=0)


def finish_strip(
    finished_ns: npt.NDArray[np.int64], now_ns: int, accent_bgr: tuple[int, int, int]
) -> npt.NDArray[np.uint8]:
    """One tick per frame finished in the last _STRIP_S seconds, newest at the right: (strip, panel width, 3) uint8."""
    width = PANEL_WH[0]
    strip = np.full((_STRIP_PX, width, 3), _STRIP_GROUND, dtype=np.uint8)
    age_s = (now_ns - finished_ns) / 1e9
    columns = (width - 2 - age_s / _STRIP_S * width).astype(np.int64)
    columns = columns[(columns >= 0) & (columns < width - 1)]
    strip[2:-2, columns] = accent_bgr
    strip[2:-2, columns + 1] = accent_bgr
    return strip


def finish_line(layout: Layout) -> npt.NDArray[np.uint8]:
    """The chequered line between the panels: (height, 16, 3) uint8, or (16, width, 3) in the tall layout."""
    length = PANEL_WH[1] + _STRIP_PX if layout == "wide" else PANEL_WH[0]
    rows, columns = np.indices((length, _LINE_PX)) // 8
    squares = (rows + columns) % 2
    line = np.repeat((18 + squares * 214).astype(np.uint8)[:, :, None], 3, axis=2)
    return line if layout == "wide" else line.transpose(1, 0, 2)


def jpeg_from_picture(image_hwc_bgr: npt.NDArray[np.uint8]) -> bytes:
    """The picture as JPEG."""
    is_encoded, jpeg = cv2.imencode(".jpg", image_hwc_bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not is_encoded:
        raise ValueError(f"OpenCV could not encode a picture of shape {image_hwc_bgr.shape}")
    return jpeg.tobytes()
