"""One of the threads that decode on a GPU: its cameras, one lane, and what the process hands in."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from photofinish.client.cameras.decode.camera import DecodedCamera
from photofinish.client.cameras.decode.gpu.device import GpuDevice, Surface
from photofinish.client.cameras.decode.gpu.opening import SessionOpener
from photofinish.client.cameras.decode.gpu.pictures import Asked, KeptPictures, LetterboxWriter
from photofinish.client.cameras.decode.gpu.pool import KeyframePool, PooledDecoder
from photofinish.client.cameras.decode.gpu.sessions import SessionDecoder
from photofinish.client.cameras.decode.nv12.job import Colours
from photofinish.client.cameras.values.access_unit import AccessUnit, StreamInfo
from photofinish.client.cameras.wire.messages import (
    DecodeCamera,
    DecodeReport,
    ForgetCamera,
    ForgetRegion,
    FrameWritten,
    OpenStream,
    WriteFrame,
)
from photofinish.errors import SourceError

_log = logging.getLogger(__name__)


class TellReports:
    """Posted to a worker: tell the owner how its cameras are."""


class GpuWorker:
    """Everything of its cameras happens in its thread. tell(value) brings a value to the owner, from any thread.

    unanswered: how often it was asked for reports since it told some.
    Posted values: DecodeCamera, ForgetCamera, OpenStream, AccessUnit, WriteFrame, ForgetRegion, TellReports, and a
    SessionDecoder that the opener is done with.
    """

    def __init__(
        self,
        number: int,
        device: GpuDevice,
        opener: SessionOpener,
        tell: Callable[[Any], None],
        on_crash: Callable[[BaseException], None],
        *,
        is_pool: bool = False,
    ) -> None:
        """on_crash(exception) hears of what ended the thread by mistake. is_pool: its cameras share sessions."""
        self.unanswered = 0
        self._device = device
        self._opener = opener
        self._tell = tell
        self._on_crash = on_crash
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._cameras: dict[str, DecodedCamera[Surface]] = {}
        self._decoders: dict[str, SessionDecoder | PooledDecoder] = {}
        self._is_pool = is_pool
        self._pool: KeyframePool | None = None
        self._priorities: dict[str, int] = {}
        self._turns: dict[str, None] = {}
        self._thread = threading.Thread(target=self._run, name=f"gpu-worker-{number}", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def post(self, value: Any) -> None:
        """Hand a value in, from any thread; None ends the worker."""
        self._inbox.put(value)

    def ask_for_reports(self) -> None:
        """Have it tell the owner how its cameras are."""
        self.unanswered += 1
        self.post(TellReports())

    def join(self, timeout_s: float) -> None:
        """Wait for its end."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            self._lane = self._device.lane()
            self._pool = KeyframePool(self._lane, self._opener) if self._is_pool else None
            self._kept = KeptPictures(self._device, self._lane)
            self._writer = LetterboxWriter(self._device, self._lane)
            while self._take_posted():
                self._step()
        except BaseException as exc:  # the process is its owner, and ends
            self._on_crash(exc)

    def _take_posted(self) -> bool:
        """Take what was posted, waiting when there is nothing to decode. False at the end."""
        wishes: list[WriteFrame] = []
        closed: list[str] = []
        may_wait = not self._turns
        while may_wait or not self._inbox.empty():
            value = self._inbox.get()
            may_wait = False
            if value is None:
                return False
            if isinstance(value, list):
                for each in value:
                    self._take(each)
            elif isinstance(value, WriteFrame):
                wishes.append(value)
            elif isinstance(value, ForgetRegion):
                closed.append(value.region)
            else:
                self._take(value)
        if wishes:
            for answer in self._written(wishes):
                self._tell(answer)
        for region in closed:  # behind the wishes, which would open it again
            self._writer.forget(region)
        return True

    def _take(self, value: Any) -> None:
        if isinstance(value, AccessUnit):
            camera = self._cameras.get(value.camera)
            if camera is not None:
                camera.push(value)
                self._queue(value.camera)
        elif isinstance(value, DecodeCamera):
            self._priorities[value.camera] = value.priority
            if self._pool is not None:
                self._pool.size = max(value.pool_sessions, 1)
            camera = self._cameras.get(value.camera)
            if camera is not None:
                camera.change(value)
            else:
                self._cameras[value.camera] = DecodedCamera(value, self._decoder_maker(value.camera))
        elif isinstance(value, OpenStream):
            camera = self._cameras.get(value.camera)
            if camera is not None:
                camera.open_stream(value)
        elif isinstance(value, SessionDecoder):
            if value.lane is not self._lane:
                return  # every lane hears of it
            value.opened()
            for name, decoder in self._decoders.items():
                if decoder is value:
                    self._queue(name)
                    if value.refusal is not None:
                        self._tell((self._report(name),))
        elif isinstance(value, ForgetCamera):
            self._forget(value.camera)
        elif isinstance(value, TellReports):
            self.unanswered = 0
            self._tell(tuple(self._report(name) for name in self._cameras))

    def _step(self) -> None:
        """Decode one unit of the camera whose turn it is."""
        if not self._turns:
            return
        name = next(iter(self._turns))
        del self._turns[name]
        camera = self._cameras.get(name)
        if camera is None or not camera.has_work:
            return
        before = camera.state
        told = camera.step()
        if told is not None and camera.held is not None:
            try:
                camera.held = (self._kept.keep(name, camera.held[0]), told)
            except SourceError as exc:  # no memory left on the device
                _log.warning("%s: %s", name, exc)
                camera.held = told = None
        if camera.state != before:
            self._tell((self._report(name),))
        if told is not None:
            self._tell(told)
        if camera.has_work:
            self._queue(name)

    def _queue(self, name: str) -> None:
        decoder = self._decoders.get(name)
        if decoder is None or not decoder.is_opening:
            self._turns.setdefault(name)

    def _decoder_maker(self, name: str) -> Callable[[StreamInfo], SessionDecoder | PooledDecoder]:
        def make(info: StreamInfo) -> SessionDecoder | PooledDecoder:
            before = self._decoders.get(name)
            if before is not None and before.continues(info):
                return before
            if before is not None:
                before.close()
            made: SessionDecoder | PooledDecoder
            if self._pool is not None:
                made = PooledDecoder(info, self._pool)
            else:
                made = SessionDecoder(info, self._lane, self._opener, self._priorities.get(name, 0))
            self._decoders[name] = made
            return made

        return make

    def _written(self, wishes: list[WriteFrame]) -> list[FrameWritten]:
        asked = []
        for wish in wishes:
            camera, decoder = self._cameras.get(wish.camera), self._decoders.get(wish.camera)
            facts = decoder.facts if decoder is not None else None
            held = camera.held if camera is not None else None
            asked.append(Asked(wish=wish, held=held, colours=facts.colours if facts is not None else Colours()))
        return self._writer.write(asked)

    def _report(self, name: str) -> DecodeReport:
        decoder = self._decoders.get(name)
        report = self._cameras[name].report()
        return report if decoder is None or decoder.refusal is None else replace(report, refusal=decoder.refusal)

    def _forget(self, name: str) -> None:
        self._cameras.pop(name, None)
        self._turns.pop(name, None)
        self._priorities.pop(name, None)
        decoder = self._decoders.pop(name, None)
        if decoder is not None:
            decoder.close()
        try:
            self._kept.forget(name)
        except SourceError:
            return  # the device has failed, and with it all of its memory is gone
