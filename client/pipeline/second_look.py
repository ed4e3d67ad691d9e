"""Models that look at crops of the first one's boxes: cut out of the picture itself, on a GPU sent in batches."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from photofinish.client.choosing.crops import CropChoice
from photofinish.client.native.library import Native
from photofinish.client.pipeline.cropping import Chosen, chosen_boxes, crop_corner_and_pixels, gathered, moved, renamed
from photofinish.client.pipeline.part import Crops, FramePart, PartOutcome
from photofinish.client.triton.served import ServedModel, TritonClient
from photofinish.client.triton.session import Session
from photofinish.client.triton.slot import Slot
from photofinish.client.triton.transport import TransportChoice
from photofinish.detections import Detections, empty_detections
from photofinish.errors import PhotofinishError, RequestTimeoutError
from photofinish.heads import detections_from_output
from photofinish.model_card import ModelCard

BATCH = {"cuda": 8, "cpu": 1}
"""Crops of one request at most, by the device of the model; one that takes fewer gets fewer.

A batch hides a GPU's waits between small pieces of work. On a CPU it takes no less time a crop, and with some networks
more (docs/several.md, "What it buys").
"""

LookedAt = tuple[npt.NDArray[np.uint8], Detections]
"""A picture (height, width, 3) uint8, blue first, and what the first model found in it."""


@dataclass(slots=True)
class _Asked:
    """Answers so far, one a crop, in the pixels of their pictures, and where the time went."""

    answers: list[Detections] = field(default_factory=list)
    prepare_ns: int = 0
    wire_ns: int = 0
    decode_ns: int = 0
    error: PhotofinishError | None = None


class _Looker:
    """One model and its session."""

    def __init__(
        self, session: Session, choice: CropChoice, first: ModelCard, native: Native, min_confidence: float
    ) -> None:
        self.session = session
        self.choice = choice
        self._card = session.model.require_card()
        self._first = first
        self._native = native
        self._min_confidence = min_confidence

    def notice(self) -> str:
        what = ", ".join(self.choice.classes) or "all classes"
        return (
            f"{self.session.model.name} looks at the boxes of {self._first.model} ({what}), the best "
            f"{self.choice.limit} of a picture at most, none with a side under {self.choice.min_side} pixels"
            f"{f', with a margin of {self.choice.margin:.0%} at each side' if self.choice.margin else ''}"
            f"{'; it is untrained, so what it says means nothing' if self._card.untrained else ''}"
        )

    def look(self, pictures: Sequence[LookedAt]) -> list[FramePart]:
        """Its part of each picture; crops of several pictures share requests, whose times stand in each part."""
        chosen = [chosen_boxes(found, self.choice, self._first.class_names) for _, found in pictures]
        asked = self._asked(
            sum(len(item.numbers) > 0 for item in chosen),
            [
                (image, found.boxes_xyxy[number])
                for (image, found), item in zip(pictures, chosen, strict=True)
                for number in item.numbers.tolist()
            ],
        )
        parts = []
        at = 0
        for (_, found), item in zip(pictures, chosen, strict=True):
            parts.append(self._part(found, item, asked, asked.answers[at : at + len(item.numbers)]))
            at += len(item.numbers)
        return parts

    def part_without_look(self, why: str) -> FramePart:
        """A part for a picture in which the first model could find nothing to look at."""
        nothing = np.empty(0, np.intp)
        crops = Crops(looked_at=nothing, of=nothing, names_boxes=not self._card.has_boxes)
        return self._told(empty_detections(), crops, _Asked(), "failed", why)

    def _asked(self, pictures: int, boxes: Sequence[tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]]) -> _Asked:
        """The answers to these boxes of so many pictures, each of which has the time of one request."""
        asked = _Asked()
        if not boxes:
            return asked
        until = time.monotonic() + self.session.timeout_s * pictures
        try:
            slot = self.session.acquire()
            try:
                size = self.session.batch_size
                for begin in range(0, len(boxes), size):
                    self._ask(slot, boxes[begin : begin + size], until, asked)
            finally:
                self.session.release(slot)
        except PhotofinishError as exc:
            asked.error = exc
        return asked

    def _ask(
        self,
        slot: Slot,
        boxes: Sequence[tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]],
        until: float,
        asked: _Asked,
    ) -> None:
        """One request; all of a call have a time limit together, and each its own."""
        model, begun_ns = self.session.model, time.perf_counter_ns()
        crops = [crop_corner_and_pixels(image, box, self.choice.margin) for image, box in boxes]
        letterboxes = [
            slot.write(row, pixels, self._card, self._native.resize) for row, (_, pixels) in enumerate(crops)
        ]
        prepared_ns = time.perf_counter_ns()
        asked.prepare_ns += prepared_ns - begun_ns
        left_s = until - time.monotonic()
        if left_s <= 0:
            raise RequestTimeoutError(
                f"{model.name} at {self.session.url}: crops were left over after {self.session.timeout_s:g} s a "
                "picture; give more time with --timeout, or look at fewer with --crop-limit",
                model=model.name,
                url=self.session.url,
            )
        try:
            output = slot.infer(len(boxes), min(left_s, self.session.timeout_s))
        finally:
            received_ns = time.perf_counter_ns()
            asked.wire_ns += received_ns - prepared_ns
        for rows, letterbox, (corner, _) in zip(output, letterboxes, crops, strict=False):
            found = detections_from_output(
                rows,
                self._card,
                letterbox,
                min_confidence=self._min_confidence,
                read_rows=self._native.read_rows,
            )
            asked.answers.append(moved(found, corner))
        asked.decode_ns += time.perf_counter_ns() - received_ns

    def _part(self, found: Detections, chosen: Chosen, asked: _Asked, answers: Sequence[Detections]) -> FramePart:
        begun_ns = time.perf_counter_ns()
        is_missing = len(answers) < len(chosen.numbers)  # those of earlier pictures may be whole
        detections, of = empty_detections(), np.empty(0, np.intp)
        if not is_missing and not self._card.has_boxes:
            detections, of = renamed(found, chosen.numbers, answers), chosen.numbers
        elif not is_missing:
            detections, of = gathered(answers, chosen.numbers, self._card.keypoint_layout)
        crops = Crops(
            looked_at=chosen.numbers,
            of=of,
            too_small=chosen.too_small,
            over_limit=chosen.over_limit,
            names_boxes=not self._card.has_boxes,
            prepare_ns=asked.prepare_ns,
        )
        asked.decode_ns += time.perf_counter_ns() - begun_ns
        if not is_missing:
            return self._told(detections, crops, asked, "answered", "")
        outcome: PartOutcome = "late" if isinstance(asked.error, RequestTimeoutError) else "failed"
        return self._told(detections, crops, asked, outcome, str(asked.error))

    def _told(self, detections: Detections, crops: Crops, asked: _Asked, outcome: PartOutcome, why: str) -> FramePart:
        return FramePart(
            name=self._card.model,
            variant=self.session.model.name,
            class_names=self._card.class_names,
            detections=detections,
            wire_ns=asked.wire_ns,
            decode_ns=asked.decode_ns,
            outcome=outcome,
            problem=why,
            crops=crops,
        )


class SecondLook:
    """All models that look at crops, side by side. Safe to use from several threads, `slots` of them at a time.

    models: as the server describes them.
    """

    def __init__(
        self,
        url: str,
        choices: Sequence[CropChoice],
        first: ModelCard,
        *,
        native: Native,
        transport: TransportChoice,
        http_url: str | None = None,
        slots: int = 1,
        batch_size: int | None = None,
        min_confidence: float = 0.25,
        timeout_s: float = 10.0,
        on_notice: Callable[[str], None],
    ) -> None:
        """Connect and allocate; as a Session does it. first: whose boxes are cut out. choices: with full names.

        batch_size: crops of one request at most; None for what suits each model's device.
        """
        with TritonClient(url, timeout_s=timeout_s) as client:
            self.models: tuple[ServedModel, ...] = tuple(client.model(choice.model) for choice in choices)
        self._lookers: list[_Looker] = []
        self._pool = ThreadPoolExecutor(max(slots * (len(choices) - 1), 1), thread_name_prefix="photofinish-crops")
        try:
            for model, choice in zip(self.models, choices, strict=True):
                batch = BATCH.get(model.require_card().device, 1) if batch_size is None else batch_size
                session = Session(
                    url,
                    model,
                    http_url=http_url,
                    transport=transport,
                    slots=slots,
                    batch_size=min(batch, choice.limit, max(model.max_batch_size, 1)),
                    timeout_s=timeout_s,
                    on_notice=on_notice,
                )
                self._lookers.append(_Looker(session, choice, first, native, min_confidence))
                on_notice(self._lookers[-1].notice())
        except BaseException:
            self.close()
            raise

    def look(self, pictures: Sequence[LookedAt]) -> list[tuple[FramePart, ...]]:
        """For each picture the part of each model."""
        others = [self._pool.submit(looker.look, pictures) for looker in self._lookers[1:]]
        shares = [self._lookers[0].look(pictures), *(other.result() for other in others)]
        return list(zip(*shares, strict=True))

    def parts_without_look(self, first: str) -> tuple[FramePart, ...]:
        """The parts of a picture about which the first model, by name, gave no answer."""
        why = f"{first} gave no answer, so there was nothing to cut out"
        return tuple(looker.part_without_look(why) for looker in self._lookers)

    def close(self) -> None:
        """Give memory and connections back."""
        self._pool.shutdown(wait=True)
        with contextlib.ExitStack() as stack:
            for looker in self._lookers:
                stack.callback(looker.session.close)
