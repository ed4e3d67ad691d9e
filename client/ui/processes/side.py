"""The process of one side: takes the newest frame, runs its pipeline, draws its panel, counts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from photofinish.client.pipeline.opening import BaselinePipeline, OptimisedPipeline, Pipeline
from photofinish.client.triton.served import TritonClient
from photofinish.client.ui.processes.board import Board, BoardMemory
from photofinish.client.ui.processes.child import ChildLink
from photofinish.client.ui.processes.scribe import Scribe
from photofinish.client.ui.processes.slots import Picture, PictureMemory, PictureReader, PictureWriter
from photofinish.client.ui.processes.turns import TurnMode, TurnTaker
from photofinish.errors import ModelNotFoundError, PhotofinishError
from photofinish.frame import Frame
from photofinish.machine.processor import keep_to_cores
from photofinish.model_card import ModelCard

Side = Literal["baseline", "optimised"]
SIDES: tuple[Side, Side] = ("baseline", "optimised")
STREAM_ID = "split-view"

PAINT_S = 0.04
"""How long a picture takes from a panel to a browser's screen, on the slow machines that take turns."""

_POLL_S = 0.0005


@dataclass(frozen=True, slots=True, kw_only=True)
class SideSpec:
    """Which pipeline runs against which model of which server.

    is_paced: frames come at a camera's rate. Then late frames are dropped and latency runs from the moment the
    picture was there; otherwise it runs from the moment the pipeline took the frame up.
    other_model: what the other side runs; turns: whether the two take turns. http_url: Triton's HTTP endpoint where
    it is known. cores: of this side alone, where it has a group of its own; then there are no turns.
    """

    side: Side
    url: str
    model_name: str
    other_model: str
    http_url: str | None = None
    timeout_s: float = 20.0
    is_paced: bool = False
    turns: TurnMode = "auto"
    cores: tuple[int, ...] = ()


def pipeline_from_spec(spec: SideSpec, on_notice: Callable[[str], None]) -> Pipeline:
    """The textbook pipeline for the baseline side, the optimised one for the other. on_notice hears of a fall-back."""
    if spec.side == "baseline":
        return BaselinePipeline(spec.url, spec.model_name, timeout_s=spec.timeout_s)
    return OptimisedPipeline(
        spec.url,
        spec.model_name,
        http_url=spec.http_url,
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
        if spec.cores:
            keep_to_cores(spec.cores)
        link.report_waiting(f"waiting for {spec.url}")
        card, takes_turns = _arrangement(spec)
        notices: list[str] = []
        with pipeline_from_spec(spec, notices.append) as pipeline:
            facts = {"takes_turns": takes_turns, "cores": len(spec.cores)}
            link.report_running(card=card, transport=pipeline.transport, notices=(), **facts)
            told = 0
            panel = PictureWriter(self.panel)
            board = Board(self.board)
            scribe = Scribe(board, panel, card, counts_waiting=spec.is_paced)
            done = (
                self._work_in_turns(link, pipeline, scribe, panel)
                if takes_turns
                else self._work_at_once(link, pipeline, scribe)
            )
            try:
                for _ in done:
                    if len(notices) != told:
                        told = len(notices)
                        link.report_running(transport=pipeline.transport, notices=tuple(notices))
            except PhotofinishError:
                board.count_failed(1 if takes_turns else pipeline.counts.dropped.get("error", 0))
                raise

    def _work_at_once(self, link: ChildLink, pipeline: Pipeline, scribe: Scribe) -> Iterator[None]:
        """Frame after frame, whatever the other side does."""
        reader = PictureReader(self.frames, reader=SIDES.index(self.spec.side))
        for result in pipeline.run(self._newest_frames(reader, link)):
            scribe.take(result)
            yield

    def _work_in_turns(
        self, link: ChildLink, pipeline: Pipeline, scribe: Scribe, panel: PictureWriter
    ) -> Iterator[None]:
        """One frame per turn. Waiting for turn and picture, and showing it, count neither as work nor as latency."""
        reader = PictureReader(self.frames, reader=SIDES.index(self.spec.side), on_demand=True)
        turns = TurnTaker(link)
        last = reader.newest if self.spec.is_paced else 0
        asked_at = reader.newest_index
        asks = False
        while asks or self._is_wanted(reader, last, link):
            if not turns.take():
                return
            if reader.newest <= last:
                reader.take()
            picture = _next_picture(reader, last, link)
            if picture is None:
                return
            last = picture.sequence
            began_ns = time.perf_counter_ns()
            result = pipeline.process(_frame_from_picture(picture))
            turn_ns = result.finished_ns - began_ns
            scribe.take_turn(result, turn_ns=turn_ns, asked_at=asked_at)
            if panel.is_watched:
                time.sleep(PAINT_S)  # a browser that paints on this machine would slow the next turn
            asked_at = reader.newest_index
            asks = not self.spec.is_paced or reader.newest > last
            turns.give_back(turn_ns, asks=asks)
            yield

    def _is_wanted(self, reader: PictureReader, last: int, link: ChildLink) -> bool:
        """Whether to ask for a turn: at a camera's rate not before there is a newer picture; False to stop."""
        while self.spec.is_paced and reader.newest <= last and not link.is_stopping:
            time.sleep(_POLL_S)
        return not link.is_stopping

    def _newest_frames(self, reader: PictureReader, link: ChildLink) -> Iterator[Frame]:
        last = reader.newest if self.spec.is_paced else 0
        while (picture := _next_picture(reader, last, link)) is not None:
            last = picture.sequence
            yield _frame_from_picture(picture)


def _next_picture(reader: PictureReader, last: int, link: ChildLink) -> Picture | None:
    """The newest picture after `last`, waiting for one; None to stop."""
    while not link.is_stopping:
        picture = reader.read(after=last)
        if picture is not None:
            return picture
        time.sleep(_POLL_S)
    return None


def _frame_from_picture(picture: Picture) -> Frame:
    return Frame(
        image_hwc_bgr=picture.image_hwc_bgr,
        stream_id=STREAM_ID,
        index=picture.index,
        captured_ns=picture.captured_ns,
        truth=picture.truth,
    )


def _arrangement(spec: SideSpec) -> tuple[ModelCard, bool]:
    """The card of the side's model, and whether the sides take turns: in `auto` where both models share the cores."""
    with TritonClient(spec.url, timeout_s=spec.timeout_s) as client:
        client.wait_until_ready(spec.timeout_s)
        card = client.model(spec.model_name).require_card()
        if spec.turns != "auto" or spec.cores:
            return card, spec.turns == "on"
        try:
            other = client.model(spec.other_model).card
        except ModelNotFoundError:
            return card, False
    return card, card.device == "cpu" and other is not None and other.device == "cpu"
