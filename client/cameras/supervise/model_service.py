"""One served model for the cameras that use it: sessions opened again whenever the server comes back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from photofinish.client.cameras.schedule.batches import (
    BatchSender,
    FrameWriter,
    LateWriteError,
    StagedSlot,
    chosen_seats,
)
from photofinish.client.cameras.schedule.seat import CameraSeat
from photofinish.client.cameras.schedule.under_way import FailuresInRow
from photofinish.client.cameras.values.outcome import CameraDropCause, Inferred
from photofinish.client.choosing.networks import VARIANT_FLAG
from photofinish.client.native.library import native_client
from photofinish.client.pipeline.opening import choose_model
from photofinish.client.triton.served import TritonClient
from photofinish.client.triton.session import Session
from photofinish.detections import ReadRows
from photofinish.errors import ConfigError, InferenceError, PhotofinishError, reason_from_error
from photofinish.model_card import ModelCard

_log = logging.getLogger(__name__)

RETRY_S = 0.5
LONGEST_RETRY_S = 3.0
MAX_BATCH = {"cuda": 8, "cpu": 4}
SLOTS = {"cuda": 6, "cpu": 1}
"""Batches under way at once. On a GPU most of a batch's time passes while its pictures are written and its answers
come back: two carried 1,469 frames a second of 500 cameras on an H200 that was 41 % busy (h200_cameras_500.json)."""
REQUEST_TIMEOUT_S = 5.0
MAX_FAILURES = 3
"""Requests that fail in a row, until the session is opened anew: a server that was started again knows no regions."""
LAST_ANSWERS_S = 1.0
"""When one slot ends a session, what is under way in the others may still come back for so long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAddress:
    """host:port of gRPC and of HTTP; "" where the latter is not known. gpu: which one it serves, None for any."""

    grpc_url: str
    http_url: str = ""
    gpu: int | None = None


class ModelService:
    """Serves the seats that `seats` gives, by one model.

    message: what is wrong with the server, "" for nothing. is_served: whether it answers.
    """

    def __init__(
        self,
        address: ServerAddress,
        variant: str,
        *,
        seats: Callable[[], Iterable[CameraSeat]],
        serves: Callable[[CameraSeat], bool] = lambda seat: True,
        writer: FrameWriter,
        on_inferred: Callable[[Inferred], None],
        on_notice: Callable[[str], None],
    ) -> None:
        """variant: full name or suffix, "" for the first optimised one. serves: whether a seat is one of `seats`."""
        self.address = address
        self.variant = variant
        self.model_name = ""
        self.message = "not connected yet"
        self.is_served = False
        self._seats = seats
        self._writer = writer
        self._on_inferred = on_inferred
        self._on_notice = on_notice
        self._serves = serves
        self._waiting: dict[str, CameraSeat] = {}
        self._idle: deque[asyncio.Future[None]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._read_rows: ReadRows | None = None

    def start(self) -> None:
        """Begin to serve, in the running loop."""
        self._task = asyncio.ensure_future(self._run())

    def wake(self, seat: CameraSeat) -> None:
        """A frame of the seat waits, and may be ready."""
        self._waiting[seat.camera.name] = seat
        self._wake_one()

    async def stop(self) -> None:
        """Stop serving. What is in flight is given a moment."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        delay_s = RETRY_S
        while True:
            try:
                session, card = await asyncio.to_thread(self._open)
            except Exception as exc:  # nobody waits for this task
                if not isinstance(exc, PhotofinishError | OSError):
                    _log.exception("connecting failed")
                self._fail(exc)
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, LONGEST_RETRY_S)
                continue
            delay_s = RETRY_S
            self._set_served(True)
            self.message = ""
            try:
                await self._serve(session, card)
            except Exception as exc:  # nobody waits for this task: it is told here, and the server asked again
                _log.exception("serving failed")
                self._fail(exc)
                await asyncio.sleep(RETRY_S)
            finally:
                closing = asyncio.get_running_loop().run_in_executor(None, session.close)
                with contextlib.suppress(asyncio.TimeoutError, PhotofinishError):
                    await asyncio.wait_for(asyncio.shield(closing), 0.5)

    def _open(self) -> tuple[Session, ModelCard]:
        """Connect. Blocks; raises InferenceError or ConfigError."""
        with TritonClient(self.address.grpc_url, timeout_s=REQUEST_TIMEOUT_S) as client:
            models = {model.name: model for model in client.models()}
            cards = {name: model.card for name, model in models.items()}
            name = choose_model(
                cards,
                self.variant or None,
                where=self.address.grpc_url,
                flag=VARIANT_FLAG,
                on_notice=self._on_notice,
            )
            card = models[name].require_card()
        self.model_name = name
        self._read_rows = native_client(_log.info).read_rows
        batch_size = min(MAX_BATCH.get(card.device, 1), max(models[name].max_batch_size, 1))
        session = Session(
            self.address.grpc_url,
            models[name],
            http_url=self.address.http_url or None,
            slots=SLOTS.get(card.device, 1),
            batch_size=batch_size,
            timeout_s=REQUEST_TIMEOUT_S,
            gpu=self.address.gpu,
            on_notice=self._on_notice,
        )
        return session, card

    async def _serve(self, session: Session, card: ModelCard) -> None:
        """Fill every slot again and again, until requests fail in a row."""
        sender = BatchSender(
            session, card, self._writer, self._on_inferred, on_ready=self._wake_one, read_rows=self._read_rows
        )
        failed, is_over = FailuresInRow(), asyncio.Event()
        with contextlib.ExitStack() as opened:
            staged = [
                opened.enter_context(contextlib.closing(StagedSlot(session.acquire(0))))
                for _ in range(SLOTS.get(card.device, 1))
            ]
            filling = [
                asyncio.ensure_future(self._fill_slot(sender, slot, session.batch_size, failed, is_over))
                for slot in staged
            ]
            try:
                done, going = await asyncio.wait(filling, return_when=asyncio.FIRST_COMPLETED)
                is_over.set()
                while self._idle:
                    self._wake_one()
                if going:
                    await asyncio.wait(going, timeout=LAST_ANSWERS_S)
                sender.cause_at_end = CameraDropCause.SERVER_FAILED
                for one in done:
                    one.result()
            finally:
                for one in filling:
                    one.cancel()
                await asyncio.gather(*filling, return_exceptions=True)
                for slot in staged:
                    if slot.gpu_region:
                        self._writer.forget_region(slot.gpu_region, slot.gpu)

    async def _fill_slot(
        self, sender: BatchSender, staged: StagedSlot, batch_size: int, failed: FailuresInRow, is_over: asyncio.Event
    ) -> None:
        """Fill one slot again and again. It ends when its own requests fail in a row, or those of all slots do."""
        failures = 0
        while max(failures, failed.count) < MAX_FAILURES and not is_over.is_set():
            ready = chosen_seats(self._ready(), batch_size + 1)
            if not ready:
                self._idle.append(asyncio.get_running_loop().create_future())
                await self._idle[-1]
                continue
            if len(ready) > batch_size:
                self._wake_one()
            begun = failed.begin()
            try:
                await sender.send(staged, ready[:batch_size])
            except LateWriteError as exc:
                self._on_notice(f"{exc}; its cameras' pictures go on in other memory")
                return
            except (InferenceError, ConfigError) as exc:
                failures += 1
                failed.fail(begun)
                self._fail(exc)
                await asyncio.sleep(RETRY_S / 2)
            else:
                failures = 0
                failed.succeed()
                if not self.is_served:
                    self._set_served(True)
                    self.message = ""

    def _wake_one(self) -> None:
        """Have the slot that is idle for longest look for frames: where it leaves some, it wakes the next one.

        A slot that is busy looks before it is idle.
        """
        while self._idle:
            future = self._idle.popleft()
            if not future.done():  # cancelled with its slot
                future.set_result(None)
                return

    def _ready(self) -> Iterable[CameraSeat]:
        """The seats with frames that wait: of hundreds of cameras a few, while all would be asked for every batch."""
        gone = [name for name, seat in self._waiting.items() if seat.waiting is None or not self._serves(seat)]
        for name in gone:
            del self._waiting[name]
        return self._waiting.values()

    def _fail(self, exc: Exception) -> None:
        text = reason_from_error(exc)
        if text != self.message:
            self._on_notice(f"server: {text}")
        self.message = text
        self._set_served(False)

    def _set_served(self, is_served: bool) -> None:
        self.is_served = is_served
        for seat in self._seats():
            seat.is_served = is_served
