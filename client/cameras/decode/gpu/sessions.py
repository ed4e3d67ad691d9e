"""One stream's decoder on a GPU over its whole life: opened at a bounded pace, opened again after a failure."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from photofinish.client.cameras.decode.camera import Decoded
from photofinish.client.cameras.decode.gpu.device import (
    DecodeSession,
    GpuLane,
    LackingError,
    SessionLimitError,
    StreamFacts,
    Surface,
)
from photofinish.client.cameras.decode.gpu.opening import Opening, Sample, SessionOpener
from photofinish.client.cameras.decode.gpu.probing import (
    facts_from_keyframe,
    parameter_sets,
    with_parameter_sets,
)
from photofinish.client.cameras.values.access_unit import AccessUnit, StreamInfo
from photofinish.client.cameras.wire.messages import Refusal
from photofinish.errors import SourceError

REOPEN_S = 1.0
"""A decoder that failed is opened again at most so often."""
MAX_FAILURES = 3
"""Decoders that fail in a row without a picture, until the GPU is left to others."""
MAX_WAITING_UNITS = 32
STEPS_BACK = 3
"""So many times a picture was captured before the one ahead of it. A clock that is set steps back once."""
AMONG = 32
"""Among so many pictures: with B frames it is every second or third one."""
OpenState = Literal["closed", "opening", "open"]


class CaptureOrder:
    """Told of every picture's capture time, in the order of coming."""

    def __init__(self) -> None:
        self._last_ns = 0
        self._count = 0
        self._back: deque[int] = deque(maxlen=STEPS_BACK)

    def is_reordered_by(self, captured_ns: int) -> bool:
        """Whether this picture leaves no doubt."""
        self._count += 1
        if captured_ns < self._last_ns:
            self._back.append(self._count)
        self._last_ns = captured_ns
        return len(self._back) == STEPS_BACK and self._count - self._back[0] < AMONG

    def begin_anew(self) -> None:
        """Another connection, and with it another clock."""
        self._last_ns = 0
        self._back.clear()


class SessionDecoder:
    """Decodes one camera's units on the device. For the thread of its lane, but for `open_now`.

    refusal: set when the camera is to be decoded elsewhere. A reconnection of the same coding keeps the session:
    its first keyframe brings parameter sets along.
    """

    def __init__(
        self,
        info: StreamInfo,
        lane: GpuLane,
        opener: SessionOpener,
        priority: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.info = info
        self.refusal: Refusal | None = None
        self.facts: StreamFacts | None = None
        self._lane = lane
        self._opener = opener
        self._priority = priority
        self._clock = clock
        self._session: DecodeSession | None = None
        self._state: OpenState = "closed"
        self._opened_s = -REOPEN_S
        self._failures = self._silent = 0
        self._why = ""
        self._units: OrderedDict[int, AccessUnit] = OrderedDict()
        self._first: Surface | None = None
        self._number = 0
        self._order = CaptureOrder()
        self._is_reordered = False
        self._is_closed = False
        self._sets: tuple[bytes, ...] = ()

    @property
    def lane(self) -> GpuLane:
        """Whose thread it is for."""
        return self._lane

    @property
    def is_opening(self) -> bool:
        """Whether its units must wait."""
        return self._state == "opening"

    def decode(self, unit: AccessUnit) -> Decoded[Surface] | None:
        """The newest picture that is there now. Raises SourceError; then nothing is right before the next keyframe.

        The keyframe that opens a session is to be handed over again when that is open.
        """
        if self.refusal is not None:
            raise SourceError(self.refusal.reason)
        if self._state == "open" and unit.is_keyframe and self._is_another_stream(unit):
            self._drop()
            self._opened_s = -REOPEN_S
        if self._state == "closed":
            self._begin(unit)
            return None
        if self._order.is_reordered_by(unit.captured_ns) and not self._is_reordered:
            self._note_reordered()
        first, self._first = self._first, None
        if self._units.get(0) is unit:  # the session began with it
            if first is not None:
                del self._units[0]
                return Decoded(picture=first, unit=unit)
            if self.facts is not None and self.facts.is_reordered:
                return None  # its picture comes with those behind it
        self._number += 1
        self._units[self._number] = unit
        if len(self._units) > MAX_WAITING_UNITS:
            self._units.popitem(last=False)
        if self._session is None:
            raise SourceError("its decoder is not open")
        try:
            data = with_parameter_sets(self.info, unit.data) if unit.is_keyframe else unit.data
            surfaces = self._session.decode(data, self._number)
        except SourceError as exc:
            self._fail(str(exc))
            raise
        if not surfaces:
            self._silent += 1
            if self._silent > MAX_WAITING_UNITS:
                self._fail("the GPU's decoder takes its pictures and gives none")
                raise SourceError(self._why)
            return None
        self._failures = self._silent = 0
        surface = surfaces[-1]
        return Decoded(picture=surface, unit=self._units.pop(surface.number, unit))

    def continues(self, info: StreamInfo) -> bool:
        """Whether it serves a new connection of this stream too."""
        if self.refusal is not None or (info.codec, info.extradata) != (self.info.codec, self.info.extradata):
            return False
        self._units.clear()
        self._first = None
        self._order.begin_anew()
        return True

    def open_now(self, unit: AccessUnit) -> None:
        """Open the session by decoding a keyframe. In the opener's thread; the lane's thread waits meanwhile."""
        session: DecodeSession | None = None
        if self._is_closed:  # the camera left while it waited
            return
        try:
            found = facts_from_keyframe(self.info, unit.data)
            facts = replace(found, is_reordered=found.is_reordered or self._is_reordered)
            if lack := self._opener.device.lacks(facts):
                raise LackingError(lack)
            data = with_parameter_sets(self.info, unit.data)
            sample = Sample(self._lane, facts, data)
            self._opener.sample = self._opener.sample or sample
            session = self._lane.open_session(facts)
            surfaces = session.decode(data, 0)
            self._opener.sample = sample
        except LackingError as exc:
            self.refusal = Refusal(reason=str(exc))
        except SessionLimitError as exc:
            self.refusal = Refusal(reason=str(exc), sessions=self._opener.open_count)
        except SourceError as exc:
            self._note_failure(str(exc))
        else:
            self.facts, self._session = facts, session
            self._first = surfaces[-1] if surfaces else None
            self._sets = parameter_sets(self.info.codec, unit.data)
            self._opener.count(1)
            return
        if session is not None:
            session.close()

    def opened(self) -> None:
        """The opener is done with it. In the lane's thread."""
        self._state = "open" if self._session is not None else "closed"
        if self._is_closed:
            self.close()

    def close(self) -> None:
        """Give the session back."""
        self._is_closed = True
        if self._state != "opening":
            self._drop()

    def _begin(self, unit: AccessUnit) -> None:
        waited_s = self._clock() - self._opened_s
        if waited_s < REOPEN_S:
            raise SourceError(f"{self._why or 'its decoder failed'}; tried again in {REOPEN_S - waited_s:.1f} s")
        if not unit.is_keyframe:
            raise SourceError(self._why or "its decoder waits for a keyframe")
        self._opened_s = self._clock()
        self._state = "opening"
        self._units[0] = unit  # the picture that the session begins with
        self._opener.ask(Opening(self, unit), self._priority)

    def _is_another_stream(self, unit: AccessUnit) -> bool:
        """Whether a keyframe's size or colours may be others than those of the keyframe that the session began with."""
        sets = parameter_sets(self.info.codec, unit.data)
        return bool(sets) and sets != self._sets

    def _note_reordered(self) -> None:
        """Pictures that are captured before those ahead of them are reordered, whatever the stream says."""
        self._is_reordered = True
        if self.facts is not None and not self.facts.is_reordered:
            self._fail("its pictures are shown in another order than they come")
            raise SourceError(self._why)

    def _fail(self, why: str) -> None:
        self._note_failure(why)
        self._drop()

    def _note_failure(self, why: str) -> None:
        self._why = why
        self._failures += 1
        self._silent = 0
        if self._failures >= MAX_FAILURES:
            self.refusal = Refusal(reason=f"the GPU failed on it {self._failures} times: {why}")

    def _drop(self) -> None:
        session, self._session = self._session, None
        self._state = "closed"
        self._first = None
        self._units.clear()
        if session is not None:
            self._opener.count(-1)
            session.close()
