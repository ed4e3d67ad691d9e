"""The process of one side: takes the newest frame, runs its pipeline, draws its panel, counts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from client.drawing import draw_detections
from client.pipelines import BaselinePipeline, FrameResult, OptimisedPipeline
from client.triton import TritonClient
from client.ui.board import NO_TRUTH, Board, BoardMemory
from client.ui.child import ChildLink
from client.ui.slots import PictureMemory, PictureReader, PictureWriter
from photofinish.detections import Detections, match_detections
from photofinish.frame import Frame
from photofinish.letterbox import Letterbox, letterboxed_from_image
from photofinish.model_card import ModelCard

Side = Literal["baseline", "optimised"]
SIDES: tuple[Side, Side] = ("baseline", "optimised")
PANEL_WH = (640, 360)
PANEL_SCALE = 0.65
"""Size of lines and text in a panel: readable when the page shows it at its own size."""
STREAM_ID = "split-view"
PANEL_INTERVAL_NS = 15_000_000
"""A panel is redrawn at most this often: 66 times a second, above what the stream shows."""

_POLL_S = 0.0005


class Pipeline(Protocol):
    """What a side needs of a pipeline."""

    @property
    def transport(self) -> str:
        """How the pictures travel."""
        ...

    def run(self, frames: Iterable[Frame]) -> Iterator[FrameResult]:
        """Results in frame order."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SideSpec:
    """Which pipeline runs against which model of which server.

    is_paced: frames come at a camera's rate. Then late frames are dropped and latency runs from the moment the
    picture was there; otherwise it runs from the moment the pipeline took the frame up.
    """

    side: Side
    url: str
    model_name: str
    timeout_s: float = 20.0
    is_paced: bool = False


IN_FLIGHT = {"cpu": 1, "cuda": 2}
"""Requests of the optimised side under way at once, by the model's device. A second one fills the gap in which the
client prepares and decodes while a GPU would idle; on a CPU it only waits behind the first and doubles the latency."""


def pipeline_from_spec(
    spec: SideSpec, card: ModelCard, on_notice: Callable[[str], None]
) -> AbstractContextManager[Pipeline]:
    """The textbook pipeline for the baseline side, the optimised one for the other. on_notice hears of a fall-back."""
    if spec.side == "baseline":
        return BaselinePipeline(spec.url, spec.model_name, timeout_s=spec.timeout_s)
    return OptimisedPipeline(
        spec.url,
        spec.model_name,
        max_in_flight=IN_FLIGHT[card.device],
        drop_late=spec.is_paced,
        timeout_s=spec.timeout_s,
        on_notice=on_notice,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SideWork:
    """Runs one side until told to stop."""

    spec: SideSpec
    frames: PictureMemory
    panel: PictureMemory
    board: BoardMemory

    def __call__(self, link: ChildLink) -> None:
        """Work through the newest frames. Raises what the pipeline raises; the owner starts it again."""
        spec = self.spec
        link.report_waiting(f"waiting for {spec.url}")
        card = _served_card(spec)
        notices: list[str] = []
        with pipeline_from_spec(spec, card, notices.append) as pipeline:
            link.report_running(card=card, transport=pipeline.transport, notices=())
            told = 0
            scribe = _Scribe(Board(self.board), PictureWriter(self.panel), card, counts_waiting=spec.is_paced)
            for result in pipeline.run(self._newest_frames(link)):
                scribe.take(result)
                if len(notices) != told:
                    told = len(notices)
                    link.report_running(transport=pipeline.transport, notices=tuple(notices))

    def _newest_frames(self, link: ChildLink) -> Iterator[Frame]:
        reader = PictureReader(self.frames, reader=SIDES.index(self.spec.side))
        last = reader.newest if self.spec.is_paced else 0
        while not link.is_stopping:
            picture = reader.read(after=last)
            if picture is None:
                time.sleep(_POLL_S)
                continue
            last = picture.sequence
            yield Frame(
                image_hwc_bgr=picture.image_hwc_bgr,
                stream_id=STREAM_ID,
                index=picture.index,
                captured_ns=picture.captured_ns,
                truth=picture.truth,
            )


def _served_card(spec: SideSpec) -> ModelCard:
    with TritonClient(spec.url, timeout_s=spec.timeout_s) as client:
        client.wait_until_ready(spec.timeout_s)
        return client.model(spec.model_name).require_card()


class _Scribe:
    """Counts results and draws panels."""

    def __init__(self, board: Board, panel: PictureWriter, card: ModelCard, *, counts_waiting: bool) -> None:
        self._board = board
        self._panel = panel
        self._class_names = card.class_names
        self._truth_classes: npt.NDArray[np.int32] | None = None
        self._has_looked_for_truth = False
        self._counts_waiting = counts_waiting
        self._last_index: int | None = None
        self._drawn_ns = 0

    def take(self, result: FrameResult) -> None:
        frame = result.frame
        gap = 0 if self._last_index is None else frame.index - self._last_index - 1
        self._last_index = frame.index
        truth_count, matched = self._judge(result.detections, frame.truth)
        self._board.record(
            finished_ns=result.finished_ns,
            latency_ns=result.latency_ns if self._counts_waiting else result.service_ns,
            found=len(result.detections),
            truth=truth_count,
            matched=matched,
            dropped=max(gap, 0),
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
    scaled = Detections(
        boxes_xyxy=letterbox.boxes_to_target(detections.boxes_xyxy),
        confidence=detections.confidence,
        class_id=detections.class_id,
    )
    return draw_detections(panel, scaled, class_names, scale=PANEL_SCALE)


def _blacken_padding(panel: npt.NDArray[np.uint8], letterbox: Letterbox) -> None:
    left, top = letterbox.offset_xy
    width, height = letterbox.resized_wh
    inside = panel[top : top + height, left : left + width].copy() if (left or top) else None
    if inside is not None:
        panel[...] = 0
        panel[top : top + height, left : left + width] = inside
