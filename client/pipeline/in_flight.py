"""What pipelines share that have several requests in flight: a reader thread, workers, results in frame order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar

from photofinish.client.pipeline.frame_result import FrameAccount, FrameCount, FrameResult, PipelineObserver
from photofinish.client.pipeline.reader import FrameReader
from photofinish.client.pipeline.workers import OrderedWorkers
from photofinish.client.triton.transport import Transport
from photofinish.frame import Frame
from photofinish.letterbox import is_smaller_than_in_square

SlotT = TypeVar("SlotT")
PipelineT = TypeVar("PipelineT", bound="InFlightPipeline[Any]")

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


class SlotSession(Protocol[SlotT]):
    """As much of a session as a pipeline uses, whatever it keeps in a slot."""

    @property
    def transport(self) -> Transport:
        """How the pictures travel."""

    def acquire(self) -> SlotT:
        """A free slot; RequestTimeoutError when none became free in time."""

    def release(self, slot: SlotT, /) -> None:
        """Make the slot free again."""

    def close(self) -> None:
        """Give memory and connections back."""


class InFlightPipeline(ABC, Generic[SlotT]):
    """At most `max_in_flight` requests at once, each in a slot of the session, which ends with the pipeline.

    drop_late: for live sources; only the newest waiting frame is kept, the others count as dropped.
    """

    def __init__(
        self,
        session: SlotSession[SlotT],
        *,
        max_in_flight: int,
        drop_late: bool,
        observer: PipelineObserver | None,
    ) -> None:
        self.max_in_flight = max_in_flight
        self.drop_late = drop_late
        self._slots = session
        self._account = FrameAccount(observer)

    def __enter__(self: PipelineT) -> PipelineT:
        """The pipeline itself."""
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close; see `close`."""
        self.close()

    def close(self) -> None:
        """Give the shared memory back and close the connections."""
        self._slots.close()

    @property
    def transport(self) -> Transport:
        """How the pictures travel."""
        return self._slots.transport

    @property
    def counts(self) -> FrameCount:
        """Where the frames went so far."""
        return self._account.snapshot()

    @property
    def dropped(self) -> int:
        """Frames that were due and not inferred, all causes."""
        return self.counts.dropped_total

    def run(self, frames: Iterable[Frame]) -> Generator[FrameResult, None, None]:
        """Results in frame order, every frame counted. Leaving the loop early stops the threads.

        A failure in them is raised here.
        """
        account = self._account
        reader = FrameReader(
            frames,
            drop_late=self.drop_late,
            on_read=account.count_read,
            on_late=lambda frame: account.count_drop(frame.stream_id, "late"),
        )
        workers = OrderedWorkers(reader.get, self.process, count=self.max_in_flight)
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

    def process(self, frame: Frame) -> FrameResult:
        """The result of one frame, sent from the caller's thread; any number of threads may call. Not counted."""
        slot = self._slots.acquire()
        try:
            return self._process_in(slot, frame)
        finally:
            self._slots.release(slot)

    @abstractmethod
    def _process_in(self, slot: SlotT, frame: Frame) -> FrameResult:
        """The result of one frame by way of a slot."""
