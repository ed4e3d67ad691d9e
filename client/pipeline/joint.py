"""Several models on one picture: one upload, requests side by side, one result with a part for each."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from photofinish.client.native.library import native_client
from photofinish.client.pipeline.frame_result import FrameResult, PipelineObserver
from photofinish.client.pipeline.in_flight import IN_FLIGHT, InFlightPipeline, UnfitPictures
from photofinish.client.pipeline.part import FramePart
from photofinish.client.triton.joint import Answer, JointSession, JointSlot
from photofinish.client.triton.served import ServedModel, TritonClient, grpc_target
from photofinish.client.triton.session import ignore_notice
from photofinish.client.triton.transport import TransportChoice
from photofinish.detections import Detections, empty_detections
from photofinish.errors import PhotofinishError, RequestTimeoutError
from photofinish.frame import Frame
from photofinish.heads import detections_from_output


class JointPipeline(InFlightPipeline[JointSlot]):
    """As the OptimisedPipeline, for several models: each frame is written once and all of them look at it together.

    A model that fails, or gives no answer in time, leaves the others' boxes: its part says why. Where all of them fail
    the frame fails, with the first one's error. `model` and `card` are the first one's.
    """

    def __init__(
        self,
        url: str,
        model_names: Sequence[str],
        *,
        http_url: str | None = None,
        transport: TransportChoice = "auto",
        max_in_flight: int | None = None,
        drop_late: bool = False,
        min_confidence: float = 0.25,
        timeout_s: float = 10.0,
        on_notice: Callable[[str], None] = ignore_notice,
        observer: PipelineObserver | None = None,
    ) -> None:
        self.url = grpc_target(url)
        with TritonClient(self.url, timeout_s=timeout_s) as client:
            self.models: tuple[ServedModel, ...] = tuple(client.model(name) for name in model_names)
        self.cards = tuple(model.require_card() for model in self.models)
        self.model, self.card = self.models[0], self.cards[0]
        self.min_confidence = min_confidence
        usual = min(IN_FLIGHT.get(card.device, 1) for card in self.cards)
        in_flight = usual if max_in_flight is None else max_in_flight
        self._unfit = [
            UnfitPictures(model.name, card.input_wh, on_notice)
            for model, card in zip(self.models, self.cards, strict=True)
        ]
        self._native = native_client(on_notice)
        self._session = JointSession(
            self.url,
            self.models,
            http_url=http_url,
            transport=transport,
            slots=in_flight,
            timeout_s=timeout_s,
            on_notice=on_notice,
        )
        super().__init__(self._session, max_in_flight=in_flight, drop_late=drop_late, observer=observer)

    def _process_in(self, slot: JointSlot, frame: Frame) -> FrameResult:
        for unfit in self._unfit:
            unfit.tell(frame.size_wh)
        begun_ns = time.perf_counter_ns()
        letterboxes = self._session.write(slot, frame.image_hwc_bgr, resize=self._native.resize)
        prepared_ns = time.perf_counter_ns()

        def decode(number: int, output: npt.NDArray[np.float32]) -> Detections:
            return detections_from_output(
                output[0],
                self.cards[number],
                letterboxes[number],
                min_confidence=self.min_confidence,
                read_rows=self._native.read_rows,
            )

        answers = self._session.infer(slot, decode)
        require_an_answer(answers)
        finished_ns = time.perf_counter_ns()
        parts = tuple(
            part_from_answer(model, answer, answer.result)
            for model, answer in zip(self._session.models, answers, strict=True)
        )
        received_ns = max(answer.received_ns for answer in answers)
        return FrameResult(
            frame=frame,
            detections=parts[0].detections,
            begun_ns=begun_ns,
            finished_ns=finished_ns,
            prepare_ns=prepared_ns - begun_ns,
            wire_ns=received_ns - prepared_ns,
            decode_ns=finished_ns - received_ns,
            parts=parts,
        )


def require_an_answer(answers: Sequence[Answer[Any]]) -> None:
    """Raise the first model's error where none of them answered."""
    errors: list[PhotofinishError] = [answer.error for answer in answers if answer.error is not None]
    if len(errors) == len(answers):
        raise errors[0]


def part_from_answer(model: ServedModel, answer: Answer[Any], found: Detections | None) -> FramePart:
    """The model's part of a frame, in which its answer found this. Without an answer it has no boxes, and says why."""
    card = model.require_card()
    error = answer.error
    return FramePart(
        name=card.model,
        variant=model.name,
        class_names=card.class_names,
        detections=empty_detections() if found is None else found,
        wire_ns=answer.received_ns - answer.sent_ns,
        decode_ns=answer.finished_ns - answer.received_ns,
        outcome="answered" if error is None else "late" if isinstance(error, RequestTimeoutError) else "failed",
        problem="" if error is None else str(error),
    )
