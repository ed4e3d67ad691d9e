"""The life of each object in front of a camera, from the first frame that shows it to the last one, as events."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from photofinish.client.cameras.values.event import Direction, EventKind, ObjectEvent, ObjectState, Snapshot

UPDATE_EVERY_NS = 10 * 10**9
"""An object with no news is told again after so long: where it is now."""
MAX_CROSSINGS = 20
MAX_ZONES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One tracked box of a frame. track: the tracker's number; zones: in which it stands; crossings: by this frame."""

    track: int
    label: str
    score: float
    box_xyxy: tuple[float, float, float, float]
    zones: tuple[str, ...] = ()
    crossings: tuple[tuple[str, Direction], ...] = ()


@dataclass(slots=True)
class _Life:
    state: ObjectState
    told: ObjectState
    seen_ns: int


def event_id(start_unix_ns: int) -> str:
    """The start and some letters by chance, as Frigate names its events."""
    return f"{start_unix_ns / 1e9:.6f}-{secrets.token_hex(3)}"


class CameraObjects:
    """The objects of one camera that are there now."""

    def __init__(self, camera: str, new_id: Callable[[int], str] = event_id) -> None:
        self._camera = camera
        self._new_id = new_id
        self._lives: dict[int, _Life] = {}

    def __len__(self) -> int:
        """How many are there now."""
        return len(self._lives)

    def see(
        self, sightings: Iterable[Sighting], *, frame_unix_ns: int, seen_ns: int, size_wh: tuple[int, int]
    ) -> list[ObjectEvent]:
        """A frame shows these; what is to be told. seen_ns: when it came, by the clock of `end_unseen`."""
        events = []
        for sighting in sightings:
            life = self._lives.get(sighting.track)
            if life is None:
                state = self._born(sighting, frame_unix_ns, size_wh)
                self._lives[sighting.track] = _Life(state, state, seen_ns)
                events.append(ObjectEvent(kind="new", before=state, after=state))
                continue
            state = life.state
            life.seen_ns = seen_ns
            entered = [zone for zone in sighting.zones if zone not in state.entered_zones]
            life.state = replace(
                state,
                frame_unix_ns=frame_unix_ns,
                score=sighting.score,
                top_score=max(state.top_score, sighting.score),
                box_xyxy=sighting.box_xyxy,
                size_wh=size_wh,
                current_zones=sighting.zones,
                entered_zones=(*state.entered_zones, *entered)[:MAX_ZONES],
                crossings=(*state.crossings, *sighting.crossings)[-MAX_CROSSINGS:],
            )
            is_news = sighting.crossings or life.state.current_zones != life.told.current_zones
            if is_news or abs(frame_unix_ns - life.told.frame_unix_ns) >= UPDATE_EVERY_NS:  # or the clock was set
                events.append(_tell(life, "update"))
        return events

    def id_of(self, track: int) -> str:
        """The event's id of a tracked box; "" for one of no object."""
        life = self._lives.get(track)
        return "" if life is None else life.state.event_id

    def state_of(self, event: str) -> ObjectState | None:
        """An object that is there now."""
        return next((life.state for life in self._lives.values() if life.state.event_id == event), None)

    def take_snapshot(self, event: str, snapshot: Snapshot) -> list[ObjectEvent]:
        """A picture of an object is there; nothing is told when the object has gone meanwhile."""
        for life in self._lives.values():
            if life.state.event_id == event:
                life.state = replace(life.state, snapshot=snapshot)
                return [_tell(life, "update")]
        return []

    def end_unseen(self, before_ns: int) -> list[ObjectEvent]:
        """Objects end that no frame after `before_ns` showed."""
        return self._end([track for track, life in self._lives.items() if life.seen_ns < before_ns])

    def end_all(self) -> list[ObjectEvent]:
        """All objects end: the camera begins anew, or goes."""
        return self._end(list(self._lives))

    def _end(self, tracks: Sequence[int]) -> list[ObjectEvent]:
        events = []
        for track in tracks:
            life = self._lives.pop(track)
            life.state = replace(life.state, end_unix_ns=life.state.frame_unix_ns, current_zones=())
            events.append(_tell(life, "end"))
        return events

    def _born(self, sighting: Sighting, frame_unix_ns: int, size_wh: tuple[int, int]) -> ObjectState:
        return ObjectState(
            event_id=self._new_id(frame_unix_ns),
            camera=self._camera,
            label=sighting.label,
            start_unix_ns=frame_unix_ns,
            frame_unix_ns=frame_unix_ns,
            score=sighting.score,
            top_score=sighting.score,
            box_xyxy=sighting.box_xyxy,
            size_wh=size_wh,
            current_zones=sighting.zones,
            entered_zones=sighting.zones,
            crossings=sighting.crossings,
        )


def _tell(life: _Life, kind: EventKind) -> ObjectEvent:
    event = ObjectEvent(kind=kind, before=life.told, after=life.state)
    life.told = life.state
    return event
