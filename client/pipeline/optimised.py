"""The optimised pipeline: a reader thread, shared memory, several requests in flight."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable
from types import TracebackType

from photofinish.client.native.library import native_client
from photofinish.client.pipeline.frame_result import FrameAccount, FrameCount, FrameResult, PipelineObserver
from photofinish.client.pipeline.reader import FrameReader
from photofinish.client.pipeline.workers import OrderedWorkers
from photofinish.client.triton.served import ServedModel, TritonClient, grpc_target
from photofinish.client.triton.session import Session, ignore_notice
from photofinish.client.triton.slot import Slot
from photofinish.client.triton.transport import Transport, TransportChoice
from photofinish.frame import Frame
from photofinish.heads import detections_from_output
from photofinish.letterbox import is_smaller_than_in_square

IN_FLIGHT = {"cuda": 2, "cpu": 1}
"""Requests in flight where the caller does not say, by the device of the model.

On a GPU the second hides the client's own work. On a CPU it would wait for the same cores, and its wait is latency.
"""


class UnfitPictures:
    """Tells once, for each size of picture, that it has another shape than a model's input."""

    def __init__(self, model_name: str, input_wh: tuple[int, int], on_notice: Callable[[str], None]) -> None:
        self._model_name = model_name
        self._input_wh = input_wh
        self._on_notice = on_notice
        self._told_wh: set[tuple[int, int]] = set()

    def tell(self, size_wh: tuple[int, int]) -> None:
        """Look at a picture's size; a square input, the textbook's, fits them all."""
        if self._input_wh[0] == self._input_wh[1] or size_wh in self._told_wh:
            return
        if not is_smaller_than_in_square(size_wh, self._input_wh):
            return
        self._told_wh.add(size_wh)
        found, wanted = ("{} × {}".format(*size) for size in (size_wh, self._input_wh))
        self._on_notice(
            f"{self._model_name} takes {wanted}, pictures of {found} become smaller in it than in a square: "
            "small objects may be missed; choose a variant without _rect"
        )


def run_in_order(
    frames: Iterable[Frame],
    process: Callable[[Frame], FrameResult],
    *,
    account: FrameAccount,
    in_flight: int,
    drop_late: bool,
) -> Generator[FrameResult, None, None]:
    """Results in frame order, every frame counted in `account`.

    A reader thread reads ahead, and `in_flight` threads call `process`. Leaving the loop early stops them all; a
    failure in them is raised here. drop_late: as a FrameReader has it.
    """
    reader = FrameReader(
        frames,
        drop_late=drop_late,
        on_read=account.count_read,
        on_late=lambda frame: account.count_drop(frame.stream_id, "late"),
    )
    workers = OrderedWorkers(reader.get, process, count=in_flight)
    failed = False
    try:
        for frame, outcome in workers.outcomes():
            if isinstance(outcome, BaseException):
                failed = True
                if frame is not None:
                    account.count_drop(frame.stream_id, "error")
                raise outcome
            account.count_done(outcome)
            yield outcome
    finally:
        workers.stop()
        left = reader.stop() + workers.join()
        for frame in left:
            account.count_drop(frame.stream_id, "error" if failed else "stopped")


class OptimisedPipeline:
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
        self.drop_late = drop_late
        self.max_in_flight = IN_FLIGHT.get(self.card.device, 1) if max_in_flight is None else max_in_flight
        self._unfit = UnfitPictures(self.model.name, self.card.input_wh, on_notice)
        self._account = FrameAccount(observer)
        self._native = native_client(on_notice)
        self._session = Session(
            self.url,
            self.model,
            http_url=http_url,
            transport=transport,
            slots=self.max_in_flight,
            timeout_s=timeout_s,
            on_notice=on_notice,
        )

    def __enter__(self) -> OptimisedPipeline:
        """The pipeline itself."""
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close; see `close`."""
        self.close()

    def close(self) -> None:
        """Give the shared memory back and close the connection."""
        self._session.close()

    @property
    def transport(self) -> Transport:
        """How the pictures travel."""
        return self._session.transport

    @property
    def counts(self) -> FrameCount:
        """Where the frames went so far."""
        return self._account.snapshot()

    @property
    def dropped(self) -> int:
        """Frames that were due and not inferred, all causes."""
        return self.counts.dropped_total

    def run(self, frames: Iterable[Frame]) -> Generator[FrameResult, None, None]:
        """Results in frame order. Leaving the loop early stops the threads; a failure in them is raised here."""
        return run_in_order(
            frames, self.process, account=self._account, in_flight=self.max_in_flight, drop_late=self.drop_late
        )

    def process(self, frame: Frame) -> FrameResult:
        """The result of one frame, sent from the caller's thread; any number of threads may call. Not counted."""
        slot = self._session.acquire()
        try:
            return self._process_in(slot, frame)
        finally:
            self._session.release(slot)

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
