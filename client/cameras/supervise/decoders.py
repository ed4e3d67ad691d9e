"""Which way each camera of a cell is decoded, as GPUs refuse, the CPU falls behind, and there is room again."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping

from photofinish.client.cameras.schedule.room import CpuRoom
from photofinish.client.cameras.schedule.seat import CameraSeat, SeatLoad
from photofinish.client.cameras.supervise.crew import CellCrew
from photofinish.client.cameras.values.camera import Camera
from photofinish.client.cameras.wire.messages import DecodeReport, Refusal, SessionsTried

_log = logging.getLogger(__name__)
TRY_EVERY_S = 60.0
"""A GPU that opened no more sessions is asked again so often: what it had may have been another program's."""
TRY_AGAIN_S = 5.0
"""So soon after it could open some."""
TRIED_AT_ONCE = 8
"""Opening one takes some 55 ms, in which the GPU opens no other."""
RECONSIDERED_S = 60.0
"""A camera that its GPU refused may send something else when it connects anew so much later; then twice as much."""
MOST_DOUBLINGS = 6
SPREAD_EVERY_S = 10.0
"""One camera at most goes to another GPU in so long: its pictures since the last keyframe are decoded once more."""


class CellDecoders:
    """Places cameras by their crew's placement, and tells their seats and processes. For the cell's loop."""

    def __init__(
        self,
        crew: CellCrew,
        seats: Mapping[str, CameraSeat],
        on_notice: Callable[[str], None],
        is_ready_at: Callable[[Camera, int], bool] = lambda camera, place: True,
    ) -> None:
        """is_ready_at(camera, place): whether the server of a GPU answers for the camera."""
        self._crew = crew
        self._seats = seats
        self._on_notice = on_notice
        self._told_reasons: set[str] = set()
        self._room = CpuRoom()
        self._due = self._behind = 0
        self._spread_s = float("-inf")
        self._is_ready_at = is_ready_at
        self._try_s: dict[int, float] = {}
        self._refused: dict[str, tuple[int, float]] = {}

    def place(self, camera: Camera) -> list[str]:
        """A camera is new; those that are to be told of by `move`."""
        self._refused.pop(camera.name, None)
        moved = self._crew.place(camera)
        self._take_way(camera.name)
        return moved

    def refuse(self, name: str, refusal: Refusal) -> None:
        """A GPU does not decode a camera."""
        moved = self._crew.placement.refuse(name, refusal)
        if moved and refusal.reason not in self._told_reasons:
            self._told_reasons.add(refusal.reason)
            whose = "cameras of the lowest priority" if refusal.sessions is not None else name
            self._on_notice(f"{refusal.reason}: the CPU decodes {whose}")
        if moved and refusal.sessions is None:
            times, _ = self._refused.get(name, (0, 0.0))
            self._refused[name] = times + 1, time.monotonic() + RECONSIDERED_S * 2 ** min(times, MOST_DOUBLINGS)
        self.move(moved)

    def hear_connection(self, name: str) -> None:
        """A camera is connected anew: what its GPU did not take may have been its stream of then."""
        times, from_s = self._refused.get(name, (0, 0.0))
        if times and time.monotonic() >= from_s:
            self.move(self._crew.placement.reconsider(name))

    def hear_tried(self, tried: SessionsTried) -> None:
        """A GPU was asked for more sessions."""
        self._try_s[tried.number] = time.monotonic() + (TRY_AGAIN_S if tried.opened else TRY_EVERY_S)
        if tried.opened:
            self.move(self._crew.placement.lift(tried.number, tried.opened))

    def move(self, names: Iterable[str]) -> None:
        """These cameras are decoded in another way now, by a process that knows nothing of their pictures."""
        for seat in (self._seats[name] for name in names):
            self._take_way(seat.camera.name)
            seat.forget_sequence()
            seat.decode = DecodeReport(camera=seat.camera.name)
            seat.is_decoded = self._crew.move(seat.wish())

    def hear_load(self, seat: CameraSeat, load: SeatLoad) -> None:
        """What became of a camera's frames just now."""
        if seat.way == "cpu":
            self._due += load.due
            self._behind += load.behind

    def settle(self, now_s: float) -> int:
        """Give the CPU fewer cameras or more, and ask GPUs for sessions; losses that are answered so, of those heard.

        While less can be decoded of cameras without a session, nothing is taken from the others.
        """
        placement = self._crew.placement
        (due, behind), self._due, self._behind = (self._due, self._behind), 0, 0
        spilled, pooled, poolable = placement.spilled, placement.pooled, placement.poolable
        counts = {"spilled": spilled, "poolable": poolable, "pooled": pooled}
        if self._room.note(due, behind, now_s, **counts, pixels_per_s=self._cpu_pixels_per_s) and (
            moved := placement.leave_room_for(self._room.size)
        ):
            self.move(moved)
            found = "came too late from the CPU" if placement.pooled > pooled else "come in time from the CPU"
            self._on_notice(f"pictures {found}: {self.note or 'no camera shares a decoder any more'}")
        self._ask_for_sessions(now_s)
        if now_s - self._spread_s >= SPREAD_EVERY_S:
            self._spread_s = now_s
            self._relieve()
        return behind if poolable else 0

    @property
    def note(self) -> str:
        """What is left out of cameras without a session, "" for nothing."""
        count = self._crew.placement.pooled
        return f"cameras that share decoders of a GPU, by keyframes only: {count}" if count else ""

    def _relieve(self) -> None:
        """Have one camera of the busiest GPU go to another, if that is worth it."""
        placement = self._crew.placement
        found = placement.weigh({name: seat.pixels_per_s for name, seat in self._seats.items()})
        if found is not None and self._is_ready_at(self._seats[found[0]].camera, found[1]):
            _log.info("%s goes to the GPU at place %d, which has less to decode", *found)
            self._seats[found[0]].is_served = True  # its server before may have been gone
            self.move(placement.rehome(*found))

    def _cpu_pixels_per_s(self) -> float:
        """What cameras without a session send."""
        return sum(seat.pixels_per_s for seat in self._seats.values() if seat.way != "gpu")

    def _ask_for_sessions(self, now_s: float) -> None:
        without = self._crew.placement.without_session
        for number in self._try_s.keys() - without.keys():
            del self._try_s[number]
        for number, count in without.items():
            if now_s >= self._try_s.setdefault(number, now_s + TRY_EVERY_S):
                self._try_s[number] = now_s + TRY_EVERY_S
                self._crew.try_sessions(number, min(count, TRIED_AT_ONCE))

    def _take_way(self, name: str) -> None:
        seat, placement = self._seats[name], self._crew.placement
        seat.way, seat.pool_sessions = placement.way_of(name), placement.pool_sessions_of(name)
