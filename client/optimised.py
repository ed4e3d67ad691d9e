"""The optimised pipeline: a reader thread, shared memory, several requests in flight."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType

import numpy as np
import numpy.typing as npt

from client.frame_result import FrameAccount, FrameCount, FrameResult, PipelineObserver
from client.preparation import write_input
from client.reader import FrameReader
from client.session import Session, Slot, Transport, TransportChoice, ignore_notice
from client.triton import TritonClient, grpc_target
from photofinish.errors import RequestTimeoutError
from photofinish.frame import Frame
from photofinish.heads import detections_from_output
from photofinish.letterbox import Letterbox

POLL_S = 0.2
"""How often a thread that waits for a slot looks whether it should stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pending:
    frame: Frame
    slot: Slot
    letterbox: Letterbox
    begun_ns: int
    prepared_ns: int
    future: Future[npt.NDArray[np.float32]]


class OptimisedPipeline:
    """A reader thread, letterboxing straight into the session's slots, at most `max_in_flight` requests at once.

    drop_late: for live sources; only the newest waiting frame is kept, the others count as dropped.
    transport: what was asked for or, with "auto", what the server accepted; on_notice hears of a fall-back.
    """

    def __init__(
        self,
        url: str,
        model_name: str,
        *,
        transport: TransportChoice = "auto",
        max_in_flight: int = 2,
        drop_late: bool = False,
        min_confidence: float = 0.25,
        timeout_s: float = 10.0,
        on_notice: Callable[[str], None] = ignore_notice,
        observer: PipelineObserver | None = None,
    ) -> None:
        self.url = grpc_target(url)
        with TritonClient(self.url, timeout_s=timeout_s) as client:
            self.model = client.model(model_name)
        self.card = self.model.require_card()
        self.min_confidence = min_confidence
        self.drop_late = drop_late
        self._account = FrameAccount(observer)
        self._session = Session(
            self.url,
            self.model,
            transport=transport,
            slots=max_in_flight,
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
        reader = FrameReader(
            frames,
            drop_late=self.drop_late,
            on_read=self._account.count_read,
            on_late=lambda frame: self._account.count_drop(frame.stream_id, "late"),
        )
        pending: queue.SimpleQueue[_Pending | BaseException | None] = queue.SimpleQueue()
        stop = threading.Event()
        sender = threading.Thread(
            target=self._send, args=(reader, pending, stop), name="photofinish-sender", daemon=True
        )
        sender.start()
        failed = False
        try:
            while (item := pending.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                try:
                    result = self._finish(item)
                except BaseException:
                    self._account.count_drop(item.frame.stream_id, "error")
                    raise
                finally:
                    self._session.release(item.slot)
                self._account.count_done(result)
                yield result
        except GeneratorExit:
            raise
        except BaseException:
            failed = True
            raise
        finally:
            stop.set()
            left = reader.stop()
            sender.join()
            left += self._abandon(pending)
            for frame in left:
                self._account.count_drop(frame.stream_id, "error" if failed else "stopped")

    def process(self, frame: Frame) -> FrameResult:
        """The result of one frame, sent from the caller's thread. Not counted in `counts`."""
        slot = self._session.acquire()
        try:
            begun_ns = time.perf_counter_ns()
            letterbox = self._write(frame, slot)
            prepared_ns = time.perf_counter_ns()
            output = self._session.infer(slot)
            return self._result(frame, slot, letterbox, begun_ns, prepared_ns, output)
        finally:
            self._session.release(slot)

    def _send(
        self, reader: FrameReader, pending: queue.SimpleQueue[_Pending | BaseException | None], stop: threading.Event
    ) -> None:
        """Thread: take a slot first, then the newest frame, so that no frame grows old waiting for a slot."""
        try:
            while (slot := self._next_slot(stop)) is not None:
                frame = reader.get()
                if frame is None:
                    self._session.release(slot)
                    break
                begun_ns = time.perf_counter_ns()
                try:
                    letterbox = self._write(frame, slot)
                except BaseException:
                    self._session.release(slot)
                    self._account.count_drop(frame.stream_id, "error")
                    raise
                prepared_ns = time.perf_counter_ns()
                pending.put(
                    _Pending(
                        frame=frame,
                        slot=slot,
                        letterbox=letterbox,
                        begun_ns=begun_ns,
                        prepared_ns=prepared_ns,
                        future=self._session.submit(slot),
                    )
                )
        except Exception as exc:  # handed to the caller of run()
            pending.put(exc)
        pending.put(None)

    def _next_slot(self, stop: threading.Event) -> Slot | None:
        while not stop.is_set():
            try:
                return self._session.acquire(POLL_S)
            except RequestTimeoutError:
                continue
        return None

    def _write(self, frame: Frame, slot: Slot) -> Letterbox:
        return write_input(frame.image_hwc_bgr, self.card.contract, self.card.input_wh, slot.input_array[0])

    def _finish(self, item: _Pending) -> FrameResult:
        output = item.future.result()
        return self._result(item.frame, item.slot, item.letterbox, item.begun_ns, item.prepared_ns, output)

    def _result(
        self,
        frame: Frame,
        slot: Slot,
        letterbox: Letterbox,
        begun_ns: int,
        prepared_ns: int,
        output: npt.NDArray[np.float32],
    ) -> FrameResult:
        decoding_ns = time.perf_counter_ns()
        detections = detections_from_output(output[0], self.card, letterbox, min_confidence=self.min_confidence)
        finished_ns = time.perf_counter_ns()
        return FrameResult(
            frame=frame,
            detections=detections,
            begun_ns=begun_ns,
            finished_ns=finished_ns,
            prepare_ns=prepared_ns - begun_ns,
            wire_ns=slot.received_ns - slot.sent_ns,
            decode_ns=finished_ns - decoding_ns,
        )

    def _abandon(self, pending: queue.SimpleQueue[_Pending | BaseException | None]) -> list[Frame]:
        """Wait for the requests nobody reads any more, free their slots, and give their frames."""
        frames = []
        while not pending.empty():
            item = pending.get()
            if isinstance(item, _Pending):
                item.future.exception()
                self._session.release(item.slot)
                frames.append(item.frame)
        return frames
