"""Overload and pauses, with a fake clock: many cameras, and a server of some speed that pauses now and then."""

from __future__ import annotations

import itertools
import random

import pytest

from photofinish.client.cameras.schedule.batches import chosen_seats
from photofinish.client.cameras.schedule.degrade import Degrader
from photofinish.client.cameras.schedule.overload import OverloadGauge
from photofinish.client.cameras.schedule.seat import CameraSeat
from photofinish.client.cameras.values.camera import Camera
from photofinish.client.cameras.values.outcome import DueFrame
from photofinish.client.cameras.values.status import IngestPhase, IngestReport
from photofinish.client.cameras.wire.messages import DecodeReport

MS = 10**6
TICK_MS = 20
PERIOD_MS = 200


class Box:
    """Cameras that send 5 pictures a second, and a server that takes so many a second.

    pauses_ms: (from, to) in which the server takes nothing; stalls_ms: in which nothing of this machine runs, and what
    cameras send comes together behind it. burst: a camera sends so many pictures at once.
    """

    def __init__(
        self,
        capacity_per_s: float,
        *,
        pauses_ms: list[tuple[int, int]] | None = None,
        stalls_ms: list[tuple[int, int]] | None = None,
        priorities: tuple[int, ...] = (0,) * 10,
        burst: int = 1,
    ) -> None:
        chance = random.Random(3)
        self.capacity_per_s = capacity_per_s
        self.pauses_ms, self.stalls_ms = pauses_ms or [], stalls_ms or []
        self.burst = burst
        self.levels: list[tuple[float, int]] = []
        self.degrader = Degrader()
        self.degrader.set_priorities(priorities)
        self.seats = []
        for number, priority in enumerate(priorities):
            seat = CameraSeat(Camera(name=f"cam-{number}", url="rtsp://cam", priority=priority), 0)
            seat.hear_ingest(IngestReport(camera=seat.camera.name, phase=IngestPhase.PLAYING, pictures=5))
            seat.decode = DecodeReport(camera=seat.camera.name, state="ok")
            self.seats.append(seat)
        self.phases_ms = [chance.randrange(PERIOD_MS) for _ in self.seats]
        self.sent = [0 for _ in self.seats]
        self.credit = 0.0
        self.now_ms = 0

    def run(self, seconds: float) -> Box:
        end_ms = self.now_ms + round(seconds * 1000)
        for now_ms in range(self.now_ms, end_ms, TICK_MS):
            if any(begin <= now_ms < end for begin, end in self.stalls_ms):
                continue
            for number, seat in enumerate(self.seats):
                self._send(number, seat, now_ms)
            due = lost = 0
            for seat in self.seats:
                seat.advance(now_ms * MS)
                load = seat.take_load()
                due, lost = due + load.due, lost + load.overloaded
            if self.degrader.note(due, lost, now_ms / 1000):
                self.levels.append((now_ms / 1000, self.degrader.level))
                for seat in self.seats:
                    seat.step = self.degrader.step_of(seat.camera.priority)
            self._serve(now_ms)
        self.now_ms = end_ms
        return self

    def _send(self, number: int, seat: CameraSeat, now_ms: int) -> None:
        """Pictures that are there by now, as a decoder sends them at this step."""
        phase_ms = self.phases_ms[number]
        while phase_ms + PERIOD_MS * self._last_of_burst(self.sent[number]) <= now_ms:
            index = self.sent[number]
            self.sent[number] += 1
            keeps = {"full": 1, "halved": 2, "keyframes": 10, "paused": 10**9}[seat.step]
            if index % keeps == 0:
                seat.take(_frame(seat.camera.name, index, now_ms), now_ms * MS)

    def _last_of_burst(self, index: int) -> int:
        return index - index % self.burst + self.burst - 1

    def _serve(self, now_ms: int) -> None:
        if any(begin <= now_ms < end for begin, end in self.pauses_ms):
            return
        self.credit = min(self.credit + self.capacity_per_s * TICK_MS / 1000, 8.0)
        for seat in chosen_seats(self.seats, int(self.credit)):
            self.credit -= 1
            seat.last_served_ns = now_ms * MS
            waiting = seat.begin_writing()
            tick = seat.written(waiting.frame if waiting else None)
            if tick is not None:
                seat.close_inferred(tick, 10 * MS, now_ms * MS)


def _frame(camera: str, sequence: int, at_ms: int) -> DueFrame:
    return DueFrame(
        camera=camera,
        sequence=sequence,
        captured_ns=at_ms * MS,
        arrived_ns=at_ms * MS,
        decoded_ns=at_ms * MS,
        clock="arrival",
        size_wh=(64, 64),
    )


@pytest.mark.parametrize(("pause_ms", "every_ms"), [(300, 2000), (800, 4000)])
@pytest.mark.parametrize("kind", ["server", "box"])
def test_short_pauses_cost_no_service(pause_ms: int, every_ms: int, kind: str) -> None:
    spans = [(at, at + pause_ms) for at in range(1000, 25_000, every_ms)]
    box = Box(80, pauses_ms=spans) if kind == "server" else Box(80, stalls_ms=spans)
    assert box.run(25).levels == []


def test_a_camera_that_sends_in_bursts_costs_no_service() -> None:
    assert Box(80, burst=5).run(20).levels == []


def test_a_long_pause_costs_no_service() -> None:
    assert Box(80, pauses_ms=[(2000, 6000)], stalls_ms=[(14_000, 17_000)]).run(20).levels == []


@pytest.mark.parametrize("capacity_per_s", [43, 30, 15])
def test_true_overload_is_degraded_within_fifteen_seconds(capacity_per_s: float) -> None:
    levels = Box(capacity_per_s).run(22).levels
    assert levels[0][0] <= 15
    assert levels[0][1] == 1
    assert max(level for _, level in levels) == (1 if capacity_per_s > 25 else 2)


def test_overload_takes_from_the_less_important_first_and_gives_back() -> None:
    box = Box(38, priorities=(0,) * 5 + (5,) * 5)
    box.run(20)
    assert {seat.camera.priority: seat.step for seat in box.seats} == {0: "halved", 5: "full"}
    served = {seat.camera.priority: seat.account.count() for seat in box.seats}
    assert served[5].inferred > 0.95 * served[5].due
    box.capacity_per_s = 100
    assert box.run(20).levels[-1][1] == 0


@pytest.mark.parametrize(("due_per_s", "slot_s"), [(100, 1), (5, 1), (1, 5)])
def test_a_slot_has_enough_frames_to_say_something(due_per_s: int, slot_s: int) -> None:
    gauge = OverloadGauge()
    words = [gauge.note(due_per_s, due_per_s, float(second)) for second in range(41)]
    told = [second for second, word in enumerate(words) if word]
    assert told[0] in (slot_s, slot_s - 1)
    assert {later - earlier for earlier, later in itertools.pairwise(told)} == {slot_s}
    assert words[told[0]] == "calm"
    assert (words[told[7]], gauge.lost_share) == ("overloaded", 1.0)
