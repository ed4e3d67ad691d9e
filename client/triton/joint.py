"""Several models that look at one picture: it lies in memory once, and their requests are in flight together."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from photofinish.client.triton.served import ServedModel
from photofinish.client.triton.session import Session, ignore_notice
from photofinish.client.triton.slot import Slot
from photofinish.client.triton.transport import Transport, TransportChoice
from photofinish.errors import ConfigError, InferenceError, PhotofinishError, RequestTimeoutError
from photofinish.letterbox import Letterbox, Resize

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Generic[Result]):
    """What one model answered, or why it did not; times from perf_counter_ns.

    sent_ns: its request went out. received_ns: its answer, or its failure, was there. finished_ns: it was decoded.
    """

    result: Result | None
    error: PhotofinishError | None
    sent_ns: int
    received_ns: int
    finished_ns: int


class JointSlot:
    """Room for one request to each model. inputs: the memory of each layout. requests: one a model, in their order."""

    def __init__(self, inputs: tuple[Slot, ...], requests: tuple[Slot, ...]) -> None:
        self.inputs = inputs
        self.requests = requests


class JointSession:
    """Sends each picture to several models at once.

    Models with the same input read the same memory, which is written once; another input has memory of its own.
    Where the server shares no memory, the picture is prepared once and travels with each request.
    Safe to use from several threads.
    """

    def __init__(
        self,
        url: str,
        models: Sequence[ServedModel],
        *,
        http_url: str | None = None,
        transport: TransportChoice = "auto",
        slots: int = 1,
        batch_size: int = 1,
        timeout_s: float = 10.0,
        on_notice: Callable[[str], None] = ignore_notice,
    ) -> None:
        """Connect and allocate; as a Session does it. on_notice hears, too, when a picture is prepared more than once.

        batch_size: the most pictures of one request; no more than each model takes.
        """
        if not models:
            raise ConfigError("a joint session needs at least one model")
        self.url = url
        self.models = tuple(models)
        self.timeout_s = timeout_s
        self.batch_size = min([batch_size, *(max(model.max_batch_size, 1) for model in models)])
        self._places, leads = _grouped(self.models)
        self._sessions: list[Session] = []
        self._guests: list[Slot] = []
        self._free: queue.SimpleQueue[JointSlot] = queue.SimpleQueue()
        self._pool = ThreadPoolExecutor(max(slots * (len(models) - 1), 1), thread_name_prefix="photofinish-joint")
        self._is_closed = False
        try:
            for lead in leads:
                self._sessions.append(
                    Session(
                        url,
                        lead,
                        http_url=http_url,
                        transport=transport if not self._sessions else self._sessions[0].transport,
                        slots=slots,
                        batch_size=self.batch_size,
                        timeout_s=timeout_s,
                        on_notice=on_notice,
                    )
                )
            for _ in range(slots):
                self._free.put(self._joint_slot())
        except BaseException:
            self.close()
            raise
        for lead in leads[1:]:
            on_notice(
                f"{lead.name} takes another input than {leads[0].name} ({_layout_text(lead)}, not "
                f"{_layout_text(leads[0])}), so each picture is prepared once more for it"
            )

    def __enter__(self) -> JointSession:
        """The session itself."""
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close; see `close`."""
        self.close()

    @property
    def transport(self) -> Transport:
        """How the pictures travel."""
        return self._sessions[0].transport

    @property
    def memory_count(self) -> int:
        """How many times each picture is written: once for each different input among the models."""
        return len(self._sessions)

    def acquire(self) -> JointSlot:
        """A free slot; RequestTimeoutError when none became free in time."""
        try:
            return self._free.get(timeout=self.timeout_s)
        except queue.Empty as exc:
            names = ", ".join(model.name for model in self.models)
            raise RequestTimeoutError(
                f"{names} at {self.url}: all requests still in flight after {self.timeout_s:g} s", url=self.url
            ) from exc

    def release(self, slot: JointSlot) -> None:
        """Make the slot free for the next picture."""
        self._free.put(slot)

    def write(
        self, slot: JointSlot, image_hwc_bgr: npt.NDArray[np.uint8], *, row: int = 0, resize: Resize | None = None
    ) -> tuple[Letterbox, ...]:
        """Write a picture into a row of the slot, once for each different input; the letterbox that each model sees."""
        made = [
            room.write(row, image_hwc_bgr, session.model.require_card(), resize)
            for session, room in zip(self._sessions, slot.inputs, strict=True)
        ]
        return tuple(made[place] for place in self._places)

    def infer(
        self, slot: JointSlot, decode: Callable[[int, npt.NDArray[np.float32]], Result], count: int = 1
    ) -> tuple[Answer[Result], ...]:
        """Ask every model for the slot's first `count` pictures, side by side; one answer a model, in their order.

        decode(number, output): what becomes of that model's output, batch first, as soon as it is there. A model's
        failure is its own answer's; only a closed session raises.
        """
        if self._is_closed:
            raise InferenceError("the session is closed", model=self.models[0].name, url=self.url)
        for room in slot.inputs:
            room.deliver(count)

        def ask(number: int) -> Answer[Result]:
            return self._ask(slot.requests[number], lambda output: decode(number, output), count)

        others = [self._pool.submit(ask, number) for number in range(1, len(self.models))]
        return ask(0), *(other.result() for other in others)

    def close(self) -> None:
        """Wait for what is in flight, which has a deadline, then give memory and connections back."""
        self._is_closed = True
        self._pool.shutdown(wait=True)
        for guest in self._guests:
            guest.close()
        self._guests.clear()
        for session in self._sessions:
            session.close()

    def _joint_slot(self) -> JointSlot:
        inputs = tuple(session.acquire() for session in self._sessions)
        requests = []
        for model, place in zip(self.models, self._places, strict=True):
            if model is self._sessions[place].model:
                requests.append(inputs[place])
                continue
            guest = self._sessions[place].request_beside(inputs[place], model)
            self._guests.append(guest)
            requests.append(guest)
        return JointSlot(inputs, tuple(requests))

    def _ask(self, request: Slot, decode: Callable[[npt.NDArray[np.float32]], Result], count: int) -> Answer[Result]:
        result: Result | None = None
        error: PhotofinishError | None = None
        received_ns = sent_ns = time.perf_counter_ns()
        try:
            output = request.call(count, self.timeout_s)
            received_ns = time.perf_counter_ns()
            result = decode(output)
        except PhotofinishError as exc:
            error = exc
        finished_ns = time.perf_counter_ns()
        if received_ns == sent_ns:
            received_ns = finished_ns
        return Answer(result=result, error=error, sent_ns=sent_ns, received_ns=received_ns, finished_ns=finished_ns)


def _layout(model: ServedModel) -> tuple[str, str, tuple[int, ...]]:
    """What must be the same for two models to read the same memory."""
    return model.require_card().contract, model.inputs[0].datatype, model.input_dims()


def _layout_text(model: ServedModel) -> str:
    _, datatype, dims = _layout(model)
    return f"{datatype} {list(dims)}"


def _grouped(models: Sequence[ServedModel]) -> tuple[tuple[int, ...], list[ServedModel]]:
    """For each model which layout it has, and the first model of each layout, in the order of their first use."""
    layouts = [_layout(model) for model in models]
    different = list(dict.fromkeys(layouts))
    return tuple(different.index(item) for item in layouts), [models[layouts.index(item)] for item in different]
