"""The optimised pipeline: a reader thread, shared memory, several requests in flight."""

from __future__ import annotations

import time
from collections.abc import Callable

from photofinish.client.native.library import native_client
from photofinish.client.pipeline.frame_result import FrameResult, PipelineObserver
from photofinish.client.pipeline.in_flight import IN_FLIGHT, InFlightPipeline, UnfitPictures
from photofinish.client.triton.served import ServedModel, TritonClient, grpc_target
from photofinish.client.triton.session import Session, ignore_notice
from photofinish.client.triton.slot import Slot
from photofinish.client.triton.transport import TransportChoice
from photofinish.frame import Frame
from photofinish.heads import detections_from_output


class OptimisedPipeline(InFlightPipeline[Slot]):
    """A reader thread, letterboxing straight into the session's slots, at most `max_in_flight` requests at once.

    drop_late: for live sources; only the newest waiting frame is kept, the others count as dropped.
    transport: what was asked for or, with "auto", what the server accepted; on_notice hears of a fall-back.
    http_url: as a Session takes it.
    """

    def __init__(
        self,
        url: str,
        model_name: str,
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
            self.model = client.model(model_name)
        self.models: tuple[ServedModel, ...] = (self.model,)
        self.card = self.model.require_card()
        self.min_confidence = min_confidence
        in_flight = IN_FLIGHT.get(self.card.device, 1) if max_in_flight is None else max_in_flight
        self._unfit = UnfitPictures(self.model.name, self.card.input_wh, on_notice)
        self._native = native_client(on_notice)
        self._session = Session(
            self.url,
            self.model,
            http_url=http_url,
            transport=transport,
            slots=in_flight,
            timeout_s=timeout_s,
            on_notice=on_notice,
        )
        super().__init__(self._session, max_in_flight=in_flight, drop_late=drop_late, observer=observer)

    def _process_in(self, slot: Slot, frame: Frame) -> FrameResult:
        self._unfit.tell(frame.size_wh)
        begun_ns = time.perf_counter_ns()
        letterbox = slot.write(0, frame.image_hwc_bgr, self.card, self._native.resize)
        prepared_ns = time.perf_counter_ns()
        output = self._session.infer(slot)
        received_ns = time.perf_counter_ns()
        detections = detections_from_output(
            output[0],
            self.card,
            letterbox,
            min_confidence=self.min_confidence,
            read_rows=self._native.read_rows,
        )
        finished_ns = time.perf_counter_ns()
        return FrameResult(
            frame=frame,
            detections=detections,
            begun_ns=begun_ns,
            finished_ns=finished_ns,
            prepare_ns=prepared_ns - begun_ns,
            wire_ns=received_ns - prepared_ns,
            decode_ns=finished_ns - received_ns,
        )
