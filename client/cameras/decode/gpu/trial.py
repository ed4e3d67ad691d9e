"""Whether a GPU would open more sessions, found out without a camera: by a keyframe that was decoded before."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from photofinish.client.cameras.decode.gpu.device import DecodeSession, GpuLane, StreamFacts
from photofinish.errors import SourceError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sample:
    """A stream's keyframe, and the lane that sessions for it are opened on."""

    lane: GpuLane
    facts: StreamFacts
    data: bytes


@dataclass(frozen=True, slots=True)
class Trial:
    """So many sessions are to be tried. on_tried hears how many there could be."""

    count: int
    on_tried: Callable[[int], None]


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
