"""Decoding sessions of a GPU opened one after the other, and whether it would open more."""

from __future__ import annotations

import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from photofinish.client.cameras.decode.gpu.device import DecodeSession, GpuDevice, GpuLane, StreamFacts
from photofinish.client.cameras.values.access_unit import AccessUnit
from photofinish.errors import SourceError

_log = logging.getLogger(__name__)


class Openable(Protocol):
    """A stream's decoder that is opened in its turn."""

    def open_now(self, unit: AccessUnit) -> None:
        """Open it with a keyframe. In the opener's thread."""


@dataclass(frozen=True, slots=True)
class Opening:
    """A decoder that is to be opened with a stream's keyframe."""

    decoder: Openable
    unit: AccessUnit


@dataclass(frozen=True, slots=True)
class Sample:
    """A stream's keyframe, and the lane that sessions for it are opened on."""

    lane: GpuLane
    facts: StreamFacts
    data: bytes


@dataclass(frozen=True, slots=True)
class SessionTrial:
    """So many sessions are to be tried. on_tried hears how many there could be."""

    count: int
    on_tried: Callable[[int], None]


def raise_again(exc: BaseException) -> None:
    """What a thread does with a mistake that nobody wants to hear of."""
    raise exc


class SessionOpener:
    """Opens decoders one after the other in a thread of its own, those of important cameras first.

    A GPU opens one at a time, for some 55 ms, whoever asks: neither a start nor a storm of reconnections may keep the
    threads that decode from doing so. open_count: sessions that are open now. sample: the newest stream's.
    """

    def __init__(
        self,
        device: GpuDevice,
        on_done: Callable[[Openable], None],
        on_crash: Callable[[BaseException], None] = raise_again,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """on_done(decoder) hears, in the opener's thread, that a decoder is open or has failed.

        on_crash(exception) hears of what ended the thread by mistake.
        """
        self.device = device
        self._on_done = on_done
        self._on_crash = on_crash
        self._clock = clock
        self._began_s: float | None = None
        self.sample: Sample | None = None
        self._waiting: queue.PriorityQueue[tuple[int, int, Opening | SessionTrial | None]] = queue.PriorityQueue()
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self.open_count = 0
        self._thread = threading.Thread(target=self._run, name="session-opener", daemon=True)
        self._thread.start()

    def ask(self, opening: Opening, priority: int) -> None:
        """Open it when its turn comes."""
        self._waiting.put((-priority, next(self._numbers), opening))

    def try_more(self, trial: SessionTrial) -> None:
        """Open its sessions when nobody waits for one, and give them back."""
        self._waiting.put((1 << 61, next(self._numbers), trial))

    def count(self, change: int) -> None:
        """A session was opened or closed."""
        with self._lock:
            self.open_count += change

    @property
    def busy_s(self) -> float:
        """For how long it has been opening what it opens now."""
        began_s = self._began_s
        return 0.0 if began_s is None else self._clock() - began_s

    def close(self) -> None:
        """End the thread when all that was asked for before is done."""
        self._waiting.put((1 << 62, next(self._numbers), None))

    def _run(self) -> None:
        try:
            while (opening := self._waiting.get()[2]) is not None:
                self._began_s = self._clock()
                if isinstance(opening, SessionTrial):
                    opening.on_tried(sessions_that_open(self.sample, opening.count, self._waiting.empty))
                else:
                    opening.decoder.open_now(opening.unit)
                    self._on_done(opening.decoder)
                self._began_s = None
        except BaseException as exc:  # the process is its owner, and ends
            self._on_crash(exc)


def sessions_that_open(sample: Sample | None, count: int, may_go_on: Callable[[], bool]) -> int:
    """How many sessions more could be open, of so many; they are given back at once. 0 without a sample."""
    sessions, opened = list[DecodeSession](), 0
    try:
        while sample is not None and opened < count and may_go_on():
            sessions.append(sample.lane.open_session(sample.facts))
            sessions[-1].decode(sample.data, 0)
            opened += 1
    except SourceError as exc:
        _log.info("of %d sessions more %d could be opened: %s", count, opened, exc)
    finally:
        for session in sessions:
            session.close()
    return opened
