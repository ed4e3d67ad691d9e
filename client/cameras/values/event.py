"""What happens in front of a camera: an object comes, moves and goes; it crosses a line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

EventKind = Literal["new", "update", "end"]
Direction = Literal["in", "out"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A picture of an object in a file. path: as a user can open it. Times and boxes as in ObjectState."""

    path: str
    frame_unix_ns: int
    score: float
    box_xyxy: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectState:
    """One tracked object at one moment.

    event_id: its name in all messages, unique among all runs. Times are capture times as a wall clock tells them;
    frame_unix_ns: when it was seen last; end_unix_ns: None while it is there. score: of the frame in which it was seen
    last, top_score: the best so far. box_xyxy: pixels of the picture of size_wh. entered_zones: in the order in
    which they were entered; crossings: the newest lines and directions, the oldest first.
    """

    event_id: str
    camera: str
    label: str
    start_unix_ns: int
    frame_unix_ns: int
    score: float
    top_score: float
    box_xyxy: tuple[float, float, float, float]
    size_wh: tuple[int, int]
    end_unix_ns: int | None = None
    current_zones: tuple[str, ...] = ()
    entered_zones: tuple[str, ...] = ()
    crossings: tuple[tuple[str, Direction], ...] = ()
    snapshot: Snapshot | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectEvent:
    """Something is to be told of an object. before: as it was told last; the same as after where it is new."""

    kind: EventKind
    before: ObjectState
    after: ObjectState


@dataclass(frozen=True, slots=True, kw_only=True)
class LineCrossing:
    """An object crossed a line of its camera. count_in, count_out: of its class at this line, since the run began."""

    camera: str
    line: str
    label: str
    direction: Direction
    event_id: str
    frame_unix_ns: int
    count_in: int
    count_out: int
