"""Sessions of a GPU that many cameras share: each decodes a keyframe of whoever's turn it is, and keeps nothing."""

from __future__ import annotations

import itertools
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace

from photofinish.client.cameras.decode.camera import Decoded
from photofinish.client.cameras.decode.gpu.device import (
    DecodeSession,
    GpuLane,
    LackingError,
    SessionLimitError,
    StreamFacts,
    Surface,
)
from photofinish.client.cameras.decode.gpu.opening import SessionOpener
from photofinish.client.cameras.decode.gpu.probing import (
    facts_from_keyframe,
    parameter_sets,
    with_parameter_sets,
)
from photofinish.client.cameras.decode.gpu.sessions import MAX_FAILURES, REOPEN_S
from photofinish.client.cameras.values.access_unit import AccessUnit, StreamInfo
from photofinish.client.cameras.wire.messages import Refusal
from photofinish.errors import SourceError

_Format = tuple[str, tuple[int, int]]


class KeyframePool:
    """A few sessions, one for each coding and size. For the thread of its lane.

    One is opened at most once a second, in the place of the one that was used longest ago where there are enough.
    size: how many there may be.
    """

    def __init__(self, lane: GpuLane, opener: SessionOpener, clock: Callable[[], float] = time.monotonic) -> None:
        self.lane = lane
        self.opener = opener
        self.size = 1
        self._clock = clock
        self._sessions: OrderedDict[_Format, DecodeSession] = OrderedDict()
        self._users: dict[PooledDecoder, _Format] = {}
        self._numbers = itertools.count(1)
        self._opened_s = -REOPEN_S

    def decode(self, user: PooledDecoder, facts: StreamFacts, data: bytes) -> Surface | None:
        """The keyframe's picture, valid until the next call; None where a session has to be waited for.

        Raises SourceError when the keyframe cannot be decoded, SessionLimitError when the GPU opens no session.
        """
        form = self._users[user] = facts.codec, facts.size_wh
        session = self._sessions.get(form) or self._opened(form, facts)
        if session is None:
            return None
        self._sessions.move_to_end(form)
        number = next(self._numbers)
        try:
            surface = _of_number(session.decode(data, number), number)
            if surface is None:  # it waits for pictures behind it, and those are another camera's
                surface = _of_number(session.flush(), number)
        except SourceError:
            self._close(form)
            raise
        if surface is None:
            self._close(form)
            raise SourceError("its keyframe gives no picture by itself")
        return surface

    def leave(self, user: PooledDecoder) -> None:
        """A camera shares no more; sessions that nobody needs are given back."""
        self._users.pop(user, None)
        for form in self._sessions.keys() - set(self._users.values()):
            self._close(form)

    def _opened(self, form: _Format, facts: StreamFacts) -> DecodeSession | None:
        now_s = self._clock()
        if now_s - self._opened_s < REOPEN_S:
            return None
        self._opened_s = now_s
        while len(self._sessions) >= self.size:
            self._close(next(iter(self._sessions)))
        session = self.lane.open_session(replace(facts, is_reordered=False))
        self._sessions[form] = session
        self.opener.count(1)
        return session

    def _close(self, form: _Format) -> None:
        session = self._sessions.pop(form, None)
        if session is not None:
            self.opener.count(-1)
            session.close()


def _of_number(surfaces: Sequence[Surface], number: int) -> Surface | None:
    """This picture and no other: what else comes is of another camera."""
    return next((surface for surface in surfaces if surface.number == number), None)


class PooledDecoder:
    """Decodes one camera's keyframes through a pool. For the thread of its lane.

    refusal: set when the camera is to be decoded elsewhere. facts: None before its first keyframe.
    """

    is_opening = False
    """Nobody else opens anything for it."""

    def __init__(self, info: StreamInfo, pool: KeyframePool) -> None:
        self.info = info
        self.refusal: Refusal | None = None
        self.facts: StreamFacts | None = None
        self._pool = pool
        self._failures = 0
        self._sets: tuple[bytes, ...] = ()

    def decode(self, unit: AccessUnit) -> Decoded[Surface] | None:
        """The keyframe's picture; None while the pool has no session for it. Raises SourceError."""
        if self.refusal is not None:
            raise SourceError(self.refusal.reason)
        if not unit.is_keyframe:
            return None
        try:
            data = with_parameter_sets(self.info, unit.data)
            surface = self._pool.decode(self, self._facts_of(unit), data)
        except LackingError as exc:
            self.refusal = Refusal(reason=str(exc))
            raise
        except SourceError as exc:
            self._failures += 1
            if self._failures >= MAX_FAILURES:
                sessions = self._pool.opener.open_count if isinstance(exc, SessionLimitError) else None
                why = str(exc) if sessions is not None else f"the GPU failed on it {self._failures} times: {exc}"
                self.refusal = Refusal(reason=why, sessions=sessions)
            raise
        if surface is None:
            return None
        self._failures = 0
        return Decoded(surface, unit)

    def continues(self, info: StreamInfo) -> bool:
        """Whether it serves a new connection of this stream too."""
        return self.refusal is None and (info.codec, info.extradata) == (self.info.codec, self.info.extradata)

    def close(self) -> None:
        """The camera shares no more."""
        self._pool.leave(self)

    def _facts_of(self, unit: AccessUnit) -> StreamFacts:
        """What the stream is, looked at again when its parameter sets are others."""
        sets = parameter_sets(self.info.codec, unit.data)
        if self.facts is None or (sets and sets != self._sets):
            facts = facts_from_keyframe(self.info, unit.data)
            if lack := self._pool.opener.device.lacks(facts):
                raise LackingError(lack)
            self.facts, self._sets = facts, sets
        return self.facts
